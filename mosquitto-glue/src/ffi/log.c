/* What libmosquitto 2.0.9 logs by. Its own function of this name asserts that it is given a client, and its reader of
 * properties gives it none for an identifier that it does not know: two bytes of a broker's would end the process.
 *
 * The library's own stands alone in its object file, which a linker leaves in the archive once the name is known; this
 * one is known first, since log.rs asks for the variable below. It is weak for linkers that take all of an archive. */

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

struct mosquitto;

bool becket_mosquitto_is_logged(int level);
void becket_mosquitto_log_line(int level, const char *line);

const int becket_mosquitto_log_is_ours = 1;

__attribute__((weak)) int log__printf(struct mosquitto *client, int level, const char *format, ...)
{
	(void)client;
	if(becket_mosquitto_is_logged(level)){
		char line[1024];
		va_list values;
		va_start(values, format);
		vsnprintf(line, sizeof line, format, values);
		va_end(values);
		becket_mosquitto_log_line(level, line);
	}
	return 0;
}
