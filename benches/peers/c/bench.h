// What the C peers share: arguments, clock, the line of a result, and the drivers of `pipes`, `timers` and `wake`, so
// that each peer supplies only the few operations which are its own. See ../../README.md for the protocol.
#ifndef BENCH_H
#define BENCH_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define UNSUPPORTED 3 // exit code: this peer has no such benchmark
#define ECHO_BUF 16384

static const char *bench_peer = "?";
static int bench_argc;
static char **bench_argv;

static inline uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + t.tv_nsec;
}
static inline const char *sarg(const char *key, const char *dflt) {
  size_t k = strlen(key);
  for (int i = 1; i < bench_argc; i++) {
    const char *a = bench_argv[i];
    if (a[0] == '-' && a[1] == '-' && !strncmp(a + 2, key, k) && a[2 + k] == '=')
      return a + 3 + k;
  }
  return dflt;
}
static inline long narg(const char *key, long dflt) {
  const char *s = sarg(key, NULL);
  return s ? atol(s) : dflt;
}
static inline void emit(const char *bench, long n, double value, const char *unit) {
  printf("{\"bench\":\"%s\",\"peer\":\"%s\",\"n\":%ld,\"value\":%.3f,\"unit\":\"%s\"}\n",
         bench, bench_peer, n, value, unit);
  fflush(stdout);
}
static inline void bench_start(int argc, char **argv, const char *peer) {
  bench_argc = argc;
  bench_argv = argv;
  bench_peer = sarg("as", peer);
  signal(SIGPIPE, SIG_IGN);
}
static uint64_t rng_state = 88172645463325252ull;
static inline uint64_t rng(void) {
  uint64_t x = rng_state;
  x ^= x << 13; x ^= x >> 7; x ^= x << 17;
  return rng_state = x;
}
static inline int cmp_d(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}
static inline double median(double *v, int n) {
  qsort(v, n, sizeof *v, cmp_d);
  return n & 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}
static inline void die(const char *what) { perror(what); exit(1); }
static inline void pin_self(int cpu) {
  cpu_set_t s;
  CPU_ZERO(&s);
  CPU_SET(cpu, &s);
  pthread_setaffinity_np(pthread_self(), sizeof s, &s);
}

// ---------------------------------------------------------------- pipes ----
// N socket pairs, A of them start active, W further writes propagate to the
// next pair. One run: every source is taken out and put in again (`reg`), then
// the bytes are written and the loop polled without blocking until all are read.
struct pipes_ops {
  void (*init)(int n, int timeouts);
  void (*reg)(int i);         // (re-)register source i, and its timeout if any
  void (*poll)(void);         // one non-blocking turn of the loop
};
static int *pp_fd;
static int pp_n, pp_timeouts;
static long pp_count, pp_fired, pp_writes;

static inline void pipes_on_read(int i) { // every peer's callback calls this
  char c;
  ssize_t r = recv(pp_fd[2 * i], &c, 1, 0);
  if (r > 0) pp_count += r;
  if (pp_writes > 0) {
    int w = i + 1;
    if (w >= pp_n) w -= pp_n;
    if (send(pp_fd[2 * w + 1], "e", 1, 0) != 1) die("send");
    pp_writes--;
    pp_fired++;
  }
}
static inline double pipes_timeout_s(void) { return 10.0 + (rng() % 1000) / 1000.0; }

static inline int run_pipes(const struct pipes_ops *ops) {
  pp_n = narg("n", 1000);
  pp_timeouts = narg("timeouts", 0);
  int a = narg("a", 100), runs = narg("runs", 25);
  long w = narg("w", 1000);
  if (a > pp_n) a = pp_n;
  pp_fd = calloc(2 * pp_n, sizeof(int));
  for (int i = 0; i < pp_n; i++)
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pp_fd + 2 * i)) die("socketpair");
  ops->init(pp_n, pp_timeouts);
  double *ev = calloc(runs, sizeof *ev), *tot = calloc(runs, sizeof *tot);
  for (int r = -1; r < runs; r++) {
    uint64_t t0 = now_ns();
    for (int i = 0; i < pp_n; i++) ops->reg(i);
    ops->poll();
    int space = pp_n / a;
    pp_fired = pp_count = 0;
    for (int i = 0; i < a; i++, pp_fired++)
      if (send(pp_fd[2 * (i * space) + 1], "e", 1, 0) != 1) die("send");
    pp_writes = w;
    uint64_t t1 = now_ns();
    do ops->poll(); while (pp_count != pp_fired);
    uint64_t t2 = now_ns();
    if (r < 0) continue; // the first run only warms up
    ev[r] = (t2 - t1) / 1e3;
    tot[r] = (t2 - t0) / 1e3;
  }
  emit(pp_timeouts ? "pipes_timeouts" : "pipes", pp_n, median(ev, runs), "us");
  emit(pp_timeouts ? "pipes_timeouts_total" : "pipes_total", pp_n, median(tot, runs), "us");
  return 0;
}

// --------------------------------------------------------------- timers ----
struct timers_ops {
  void (*init)(long n);
  void (*arm)(long i, long ms);  // one shot, ms from now
  void (*cancel)(long i);
  void (*poll)(void);            // one non-blocking turn, running what is due
  void (*refresh)(void);         // make the loop's cached clock current, or NULL
};
static long tm_fired;

static inline int run_timers(const struct timers_ops *ops) {
  long n = narg("n", 100000), e = narg("expire", 100000);
  ops->init(n > e ? n : e);
  long *ms = malloc(n * sizeof *ms);
  for (long i = 0; i < n; i++) ms[i] = rng() % n + 60000;
  uint64_t t0 = now_ns();
  for (long i = 0; i < n; i++) ops->arm(i, ms[i]);
  uint64_t t1 = now_ns();
  for (long i = 0; i < n; i += 2) ops->cancel(i);
  uint64_t t2 = now_ns();
  for (long i = 0; i < n; i += 2) ops->arm(i, ms[n - 1 - i]);
  uint64_t t3 = now_ns();
  emit("timers_arm", n, (double)(t1 - t0) / n, "ns");
  emit("timers_cancel", n, (double)(t2 - t1) / (n / 2), "ns");
  emit("timers_rearm", n, (double)(t3 - t2) / (n / 2), "ns");
  for (long i = 0; i < n; i++) ops->cancel(i);
  if (ops->refresh) ops->refresh();
  for (long i = 0; i < e; i++) ops->arm(i, 1);
  usleep(20000);
  tm_fired = 0;
  uint64_t t4 = now_ns();
  while (tm_fired < e) ops->poll();
  uint64_t t5 = now_ns();
  emit("timers_expire", e, (double)(t5 - t4) / e, "ns");
  return 0;
}

// ----------------------------------------------------------------- wake ----
struct wake_ops {
  void *(*make)(void (*cb)(void *), void *arg); // a loop with one cross-thread wake source
  void (*post)(void *loop);                     // wake it, from any thread
  void (*run)(void *loop);                      // until stop
  void (*stop)(void *loop);                     // called on the loop's own thread
};
static const struct wake_ops *wk;
static void *wk_a, *wk_b;
static long wk_rounds, wk_done;
static pthread_mutex_t wk_mu = PTHREAD_MUTEX_INITIALIZER;
static long *wk_q[2];
static long wk_len, wk_cap[2], wk_sum;
static int wk_cur;
static volatile int wk_quit;

static inline void wk_on_a(void *x) {
  (void)x;
  if (++wk_done < wk_rounds) wk->post(wk_b);
  else { wk_quit = 1; wk->post(wk_b); wk->stop(wk_a); }
}
static inline void wk_on_b(void *x) {
  (void)x;
  if (wk_quit) wk->stop(wk_b); else wk->post(wk_a);
}
static inline void *wk_thread_b(void *x) { (void)x; pin_self(1); wk->run(wk_b); return NULL; }
static inline void wk_on_post(void *x) { // drain the queue
  (void)x;
  pthread_mutex_lock(&wk_mu);
  long *q = wk_q[wk_cur], n = wk_len;
  wk_cur ^= 1;
  wk_len = 0;
  pthread_mutex_unlock(&wk_mu);
  for (long i = 0; i < n; i++) wk_sum += q[i];
  wk_done += n;
  if (wk_done >= wk_rounds) wk->stop(wk_a);
}
static inline void *wk_producer(void *x) {
  (void)x;
  pin_self(1);
  for (long i = 0; i < wk_rounds; i++) {
    pthread_mutex_lock(&wk_mu);
    if (wk_len == wk_cap[wk_cur]) {
      wk_cap[wk_cur] = wk_cap[wk_cur] ? wk_cap[wk_cur] * 2 : 1024;
      wk_q[wk_cur] = realloc(wk_q[wk_cur], wk_cap[wk_cur] * sizeof(long));
    }
    wk_q[wk_cur][wk_len++] = i;
    pthread_mutex_unlock(&wk_mu);
    wk->post(wk_a);
  }
  return NULL;
}
static inline int run_wake(const struct wake_ops *ops) {
  wk = ops;
  pthread_t t;
  pin_self(0);
  wk_rounds = narg("rounds", 20000);
  wk_a = ops->make(wk_on_a, NULL);
  wk_b = ops->make(wk_on_b, NULL);
  uint64_t t0 = now_ns();
  pthread_create(&t, NULL, wk_thread_b, NULL);
  ops->post(wk_b);
  ops->run(wk_a);
  uint64_t t1 = now_ns();
  pthread_join(t, NULL);
  emit("wake_rtt", wk_rounds, (double)(t1 - t0) / wk_rounds, "ns");
  wk_rounds = narg("posts", 1000000);
  wk_done = 0;
  wk_a = ops->make(wk_on_post, NULL);
  t0 = now_ns();
  pthread_create(&t, NULL, wk_producer, NULL);
  ops->run(wk_a);
  t1 = now_ns();
  pthread_join(t, NULL);
  emit("wake_post", wk_rounds, (double)(t1 - t0) / wk_rounds, "ns");
  return 0;
}

// ----------------------------------------------------------------- echo ----
static inline int echo_listen(void) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(narg("port", 7000))};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (void *)&a, sizeof a) || listen(fd, 4096)) die("listen");
  return fd;
}
static inline void echo_ready(void) { puts("READY"); fflush(stdout); }
struct conn { int fd; int off, len; char *pend; };
static char echo_buf[ECHO_BUF];
enum { ECHO_CLOSE = -1, ECHO_OK = 0, ECHO_BLOCKED = 1 };
static inline int echo_readable(struct conn *c) { // one read, one write
  ssize_t r = recv(c->fd, echo_buf, sizeof echo_buf, 0);
  if (r <= 0) return r < 0 && errno == EAGAIN ? ECHO_OK : ECHO_CLOSE;
  ssize_t w = send(c->fd, echo_buf, r, MSG_NOSIGNAL);
  if (w == r) return ECHO_OK;
  if (w < 0) { if (errno != EAGAIN) return ECHO_CLOSE; w = 0; }
  c->pend = malloc(r - w);
  memcpy(c->pend, echo_buf + w, r - w);
  c->off = 0;
  c->len = r - w;
  return ECHO_BLOCKED;
}
static inline int echo_writable(struct conn *c) { // only after ECHO_BLOCKED
  ssize_t w = send(c->fd, c->pend + c->off, c->len - c->off, MSG_NOSIGNAL);
  if (w < 0) return errno == EAGAIN ? ECHO_BLOCKED : ECHO_CLOSE;
  c->off += w;
  if (c->off < c->len) return ECHO_BLOCKED;
  free(c->pend);
  c->pend = NULL;
  return ECHO_OK;
}
static inline int echo_accept(int lfd) {
  int fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
  if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

// ------------------------------------------------------------- fileread ----
static inline int file_open(off_t *blocks) {
  struct stat st;
  int fd = open(sarg("file", "data.bin"), O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &st)) die("data file");
  *blocks = st.st_size / 4096;
  return fd;
}
#endif
