// libmosquitto by its own loop, mosquitto_loop_forever
#include "bench.h"
#include <mosquitto.h>

static long n, depth, size, sent, received;
static int qos;
static char *payload;
static uint64_t began, cpu_began;

static uint64_t cpu_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void check(int rc) {
  if (rc != MOSQ_ERR_SUCCESS) {
    fprintf(stderr, "%s\n", mosquitto_strerror(rc));
    exit(1);
  }
}

static void more(struct mosquitto *m) {
  if (!began)
    began = now_ns(), cpu_began = cpu_ns();
  for (; sent < n && sent - received < depth; sent++)
    check(mosquitto_publish(m, NULL, "bench", (int)size, payload, qos, false));
}

static void on_connect(struct mosquitto *m, void *u, int rc) {
  (void)u;
  check(rc);
  check(mosquitto_subscribe(m, NULL, "bench", qos));
}

static void on_subscribe(struct mosquitto *m, void *u, int mid, int count, const int *granted) {
  (void)u, (void)mid, (void)count, (void)granted;
  more(m);
}

static void on_message(struct mosquitto *m, void *u, const struct mosquitto_message *message) {
  (void)u;
  if (message->payloadlen != size)
    exit(1);
  if (++received == n)
    check(mosquitto_disconnect(m));
  else
    more(m);
}

int main(int argc, char **argv) {
  bench_start(argc, argv, "libmosquitto");
  if (argc < 2 || strcmp(argv[1], "mqtt"))
    return UNSUPPORTED;
  n = narg("n", 20000), depth = narg("depth", 100), size = narg("size", 64), qos = (int)narg("qos", 0);
  payload = malloc((size_t)size + 1);
  memset(payload, 'x', (size_t)size);
  mosquitto_lib_init();
  struct mosquitto *m = mosquitto_new(NULL, true, NULL);
  mosquitto_int_option(m, MOSQ_OPT_TCP_NODELAY, 1);
  mosquitto_int_option(m, MOSQ_OPT_SEND_MAXIMUM, 1000);
  mosquitto_connect_callback_set(m, on_connect);
  mosquitto_subscribe_callback_set(m, on_subscribe);
  mosquitto_message_callback_set(m, on_message);
  check(mosquitto_connect(m, "127.0.0.1", (int)narg("port", 1883), 60));
  int rc = mosquitto_loop_forever(m, -1, 1);
  if (received != n)
    check(rc ? rc : MOSQ_ERR_UNKNOWN);
  char name[64];
  snprintf(name, sizeof name, "mqtt_q%d_%ldB", qos, size);
  emit(name, n, n * 1e9 / (double)(now_ns() - began), "msg/s");
  strcat(name, "_cpu");
  emit(name, n, (double)(cpu_ns() - cpu_began) / (double)n, "ns/msg");
  mosquitto_destroy(m);
  return 0;
}
