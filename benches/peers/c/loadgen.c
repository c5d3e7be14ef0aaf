// The one load generator of `echo` and `idle-conn`.
//   --port --conns --size --depth --secs --warm   ping-pong, `depth` messages in flight per connection
//   --busy=1            never sleep: the server then does not pay for waking the load generator
//   --requests=N        as many requests, and no more, whatever the time: for those who count instructions or system calls
//   --idle=1 --hold=S   open the connections, one message each, print IDLE and hold them S seconds
// Prints one JSON line: rps, mb_s (echoed payload), p50/p99/max latency in us.
#include "bench.h"
#include <sys/epoll.h>
struct cl { int fd; uint32_t got, owed; uint64_t *sent; uint32_t head, tail; };
#define NB 4096
static uint32_t hist[64 * 64];
static uint64_t hist_n, hist_max;
static int slot(uint64_t v) { // log-linear, 64 steps per octave: error < 1.6 %
  if (v < 64) return v;
  int e = 63 - __builtin_clzll(v);
  int s = (e - 5) * 64 + (int)((v >> (e - 6)) & 63);
  return s < 64 * 64 ? s : 64 * 64 - 1;
}
static double unslot(int s) {
  if (s < 64) return s;
  int e = s / 64 + 5;
  return (double)((64ull + s % 64) << (e - 6));
}
static double pct(double p) {
  uint64_t want = hist_n * p, c = 0;
  for (int i = 0; i < 64 * 64; i++) if ((c += hist[i]) > want) return unslot(i) / 1e3;
  return 0;
}
static int ep, size, depth;
static char *out, *in;
static void pump(struct cl *c) { // send what is owed
  while (c->owed) {
    ssize_t w = send(c->fd, out, c->owed, MSG_NOSIGNAL);
    if (w < 0) { if (errno == EAGAIN) return; die("send"); }
    c->owed -= w;
  }
}
int main(int argc, char **argv) {
  bench_start(argc, argv, "loadgen");
  int n = narg("conns", 50), port = narg("port", 7000);
  size = narg("size", 64);
  depth = narg("depth", 1);
  double secs = atof(sarg("secs", "2")), warm = atof(sarg("warm", "0.3"));
  int busy = narg("busy", 0);
  uint64_t requests = narg("requests", 0); // 0: until the time is over
  if (requests) { warm = 0; secs = 1e6; }
  out = malloc((size_t)size * depth);
  memset(out, 'x', (size_t)size * depth);
  in = malloc(1 << 18);
  ep = epoll_create1(0);
  struct cl *cs = calloc(n, sizeof *cs);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (int i = 0; i < n; i++) {
    struct cl *c = &cs[i];
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0) die("socket");
    if (connect(c->fd, (void *)&a, sizeof a)) die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct linger lg = {1, 0}; // no TIME_WAIT left behind
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &lg, sizeof lg);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    c->sent = calloc(depth, sizeof(uint64_t));
    struct epoll_event e = {.events = EPOLLIN | (depth > 1 ? EPOLLOUT | EPOLLET : 0), .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
  }
  if (narg("idle", 0)) {
    for (int i = 0; i < n; i++) { cs[i].owed = size; pump(&cs[i]); }
    for (int i = 0; i < n; i++) {
      int got = 0;
      while (got < size) { ssize_t r = recv(cs[i].fd, in, size - got, 0); if (r > 0) got += r; else if (r == 0 || errno != EAGAIN) die("recv"); else usleep(50); }
    }
    puts("IDLE");
    fflush(stdout);
    usleep(narg("hold", 5) * 1000000);
    return 0;
  }
  struct epoll_event *evs = calloc(NB, sizeof *evs);
  uint64_t t0 = now_ns(), from = t0 + warm * 1e9, end = from + secs * 1e9, done = 0, t = t0, began = 0;
  uint64_t asked = 0;
  for (int i = 0; i < n && (!requests || asked < requests); i++) {
    for (int d = 0; d < depth; d++, asked++) cs[i].sent[d] = now_ns();
    cs[i].owed = size * depth;
    pump(&cs[i]);
  }
  for (;;) {
    int k = epoll_wait(ep, evs, NB, busy || (requests && done >= asked) ? 0 : 1000);
    t = now_ns();
    if (!began && t >= from) { began = t; done = 0; memset(hist, 0, sizeof hist); hist_n = 0; hist_max = 0; puts("BEGIN"); fflush(stdout); }
    if (t >= end || (requests && done >= asked)) break;
    for (int i = 0; i < k; i++) {
      struct cl *c = evs[i].data.ptr;
      for (;;) {
        ssize_t r = recv(c->fd, in, depth > 1 ? 1 << 18 : 4096, 0);
        if (r == 0) { fprintf(stderr, "closed by the server\n"); return 1; }
        if (r < 0) { if (errno == EAGAIN) break; die("recv"); }
        c->got += r;
        uint64_t now = now_ns();
        while (c->got >= (uint32_t)size) {
          c->got -= size;
          uint64_t l = now - c->sent[c->head];
          hist[slot(l)]++;
          hist_n++;
          if (l > hist_max) hist_max = l;
          done++;
          c->sent[c->head] = now;
          if (++c->head == (uint32_t)depth) c->head = 0;
          if (requests && asked >= requests) continue;
          c->owed += size;
          asked++;
        }
        if (depth == 1) break;
        if (c->owed) pump(c);
      }
      if (c->owed) pump(c);
    }
  }
  double el = (t - began) / 1e9;
  printf("{\"rps\":%.1f,\"mb_s\":%.2f,\"p50_us\":%.2f,\"p99_us\":%.2f,\"max_us\":%.1f,\"done\":%llu,\"secs\":%.4f}\n", done / el,
         done * (double)size / el / 1e6, pct(0.50), pct(0.99), hist_max / 1e3, (unsigned long long)done, el);
  fflush(stdout);
  usleep(60000); // the driver reads the server's CPU time before its connections close
  return 0;
}
