// raw-epoll: no library at all; stands for what the kernel lets anybody reach.
// Timers are a 4-ary heap, or with --wheel=1 a hierarchical wheel (1 ms ticks).
#include "bench.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

static int ep;
// ---- a 4-ary heap of (deadline, index) with back pointers
struct hent { uint64_t at; uint32_t id; };
static struct hent *hp;
static uint32_t hn, *hpos; // hpos[id] = place+1, 0 = not armed
static void hset(uint32_t p, struct hent e) { hp[p] = e; hpos[e.id] = p + 1; }
static void hup(uint32_t p, struct hent e) {
  while (p) {
    uint32_t q = (p - 1) / 4;
    if (hp[q].at <= e.at) break;
    hset(p, hp[q]);
    p = q;
  }
  hset(p, e);
}
static void hdown(uint32_t p, struct hent e) {
  for (;;) {
    uint32_t c = 4 * p + 1, m = c, end = c + 4;
    if (c >= hn) break;
    if (end > hn) end = hn;
    for (uint32_t i = c + 1; i < end; i++) if (hp[i].at < hp[m].at) m = i;
    if (hp[m].at >= e.at) break;
    hset(p, hp[m]);
    p = m;
  }
  hset(p, e);
}
static void hdel(uint32_t id) {
  uint32_t p = hpos[id];
  if (!p--) return;
  hpos[id] = 0;
  struct hent e = hp[--hn];
  if (p == hn) return;
  if (p && hp[(p - 1) / 4].at > e.at) hup(p, e); else hdown(p, e);
}
static void hadd(uint32_t id, uint64_t at) {
  struct hent e = {at, id};
  if (hpos[id]) hdel(id);
  hup(hn++, e);
}
// ---- a wheel: 6 levels of 64 slots
struct wnode { struct wnode *next, **prev; uint64_t at; };
static struct wnode *wslot[6][64], *wn;
static uint64_t wbits[6], wnow;
static void wlink(struct wnode *t) {
  uint64_t at = t->at < wnow ? wnow : t->at, x = (at ^ wnow) | 63;
  int lv = (63 - __builtin_clzll(x)) / 6;
  if (lv > 5) lv = 5;
  int s = (at >> (6 * lv)) & 63;
  struct wnode **h = &wslot[lv][s];
  t->next = *h;
  if (*h) (*h)->prev = &t->next;
  *h = t;
  t->prev = h;
  wbits[lv] |= 1ull << s;
}
static void wunlink(struct wnode *t) {
  if (!t->prev) return;
  *t->prev = t->next;
  if (t->next) t->next->prev = t->prev;
  t->prev = NULL; // the bit stays; an empty slot is skipped when met
}
static void wadvance(uint64_t to, void (*fire)(struct wnode *)) {
  while (wnow <= to) {
    int s = wnow & 63;
    for (struct wnode *t; (t = wslot[0][s]);) { wunlink(t); fire(t); }
    wbits[0] &= ~(1ull << s);
    if (wnow == to) break;
    uint64_t left = s == 63 ? 0 : wbits[0] >> (s + 1);
    uint64_t nx = left ? wnow + 1 + __builtin_ctzll(left) : (wnow | 63) + 1;
    if (nx > to) nx = to;
    int cross = (nx >> 6) != (wnow >> 6);
    uint64_t old = wnow;
    wnow = nx;
    if (cross)
      for (int lv = 5; lv > 0; lv--)
        if ((old >> (6 * lv)) != (nx >> (6 * lv))) {
          int k = (nx >> (6 * lv)) & 63;
          struct wnode *l = wslot[lv][k], *n;
          wslot[lv][k] = NULL;
          wbits[lv] &= ~(1ull << k);
          for (; l; l = n) { n = l->next; wlink(l); }
        }
  }
}
static uint64_t now_ms(void) { return now_ns() / 1000000; }

// ---- pipes
static struct epoll_event evs[1024];
static uint64_t cur_ms;
static void p_init(int n, int timeouts) {
  ep = epoll_create1(EPOLL_CLOEXEC);
  if (timeouts) { hp = calloc(n, sizeof *hp); hpos = calloc(n, sizeof *hpos); }
}
static void p_reg(int i) {
  struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
  epoll_ctl(ep, EPOLL_CTL_DEL, pp_fd[2 * i], &e);
  if (epoll_ctl(ep, EPOLL_CTL_ADD, pp_fd[2 * i], &e)) die("epoll_ctl");
  if (pp_timeouts) hadd(i, cur_ms + (uint64_t)(pipes_timeout_s() * 1e3));
}
static void p_poll(void) {
  int n = epoll_wait(ep, evs, 1024, 0);
  if (pp_timeouts) {
    cur_ms = now_ms();
    for (int i = 0; i < n; i++) {
      pipes_on_read(evs[i].data.u32);
      hadd(evs[i].data.u32, cur_ms + (uint64_t)(pipes_timeout_s() * 1e3));
    }
    while (hn && hp[0].at <= cur_ms) hdel(hp[0].id);
  } else
    for (int i = 0; i < n; i++) pipes_on_read(evs[i].data.u32);
}
// ---- timers
static void t_init(long n) { hp = calloc(n, sizeof *hp); hpos = calloc(n, sizeof *hpos); cur_ms = now_ms(); }
static void t_arm(long i, long ms) { hadd(i, cur_ms + ms); }
static void t_cancel(long i) { hdel(i); }
static void t_refresh(void) { cur_ms = now_ms(); }
static void t_poll(void) {
  cur_ms = now_ms();
  while (hn && hp[0].at <= cur_ms) { hdel(hp[0].id); tm_fired++; }
}
static void w_init(long n) { wn = calloc(n, sizeof *wn); wnow = now_ms(); }
static void w_arm(long i, long ms) { wunlink(&wn[i]); wn[i].at = wnow + ms; wlink(&wn[i]); }
static void w_cancel(long i) { wunlink(&wn[i]); }
static void w_fire(struct wnode *t) { (void)t; tm_fired++; }
static void w_poll(void) { wadvance(now_ms(), w_fire); }
// ---- wake
struct lp { int ep, efd, quit; void (*cb)(void *); void *arg; };
static void *l_make(void (*cb)(void *), void *arg) {
  struct lp *l = calloc(1, sizeof *l);
  l->ep = epoll_create1(0);
  l->efd = eventfd(0, EFD_NONBLOCK);
  l->cb = cb;
  l->arg = arg;
  struct epoll_event e = {.events = EPOLLIN | EPOLLET}; // edge: no read of the eventfd needed
  epoll_ctl(l->ep, EPOLL_CTL_ADD, l->efd, &e);
  return l;
}
static void l_post(void *x) {
  uint64_t one = 1;
  if (write(((struct lp *)x)->efd, &one, 8) != 8) die("eventfd");
}
static void l_run(void *x) {
  struct lp *l = x;
  struct epoll_event e;
  while (!l->quit) if (epoll_wait(l->ep, &e, 1, -1) == 1) l->cb(l->arg);
}
static void l_stop(void *x) { ((struct lp *)x)->quit = 1; }
// as l_post, but the poster skips the syscall while a wake is pending
static int l_pending;
static void l_post_flag(void *x) {
  if (!__atomic_exchange_n(&l_pending, 1, __ATOMIC_SEQ_CST)) l_post(x);
}
static void wk_flag_cb(void *x) { __atomic_store_n(&l_pending, 0, __ATOMIC_SEQ_CST); wk_on_post(x); }
// ---- echo
static void mod(struct conn *c, uint32_t what) {
  struct epoll_event e = {.events = what, .data.ptr = c};
  epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
}
static _Noreturn void echo(void) {
  struct conn lc = {.fd = echo_listen()};
  ep = epoll_create1(0);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = &lc};
  epoll_ctl(ep, EPOLL_CTL_ADD, lc.fd, &e);
  echo_ready();
  for (;;) {
    int n = epoll_wait(ep, evs, 1024, -1);
    for (int i = 0; i < n; i++) {
      struct conn *c = evs[i].data.ptr;
      if (c == &lc) {
        int fd;
        while ((fd = echo_accept(lc.fd)) >= 0) {
          struct conn *k = calloc(1, sizeof *k);
          k->fd = fd;
          struct epoll_event ke = {.events = EPOLLIN, .data.ptr = k};
          epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ke);
        }
        continue;
      }
      int was = c->pend != NULL;
      int r = was ? echo_writable(c) : echo_readable(c);
      if (r == ECHO_CLOSE) { close(c->fd); free(c->pend); free(c); }
      else if (r == ECHO_BLOCKED && !was) mod(c, EPOLLOUT);
      else if (r == ECHO_OK && was) mod(c, EPOLLIN);
    }
  }
}
// ---- fileread: a plain pread loop (no depth), and preadv2(RWF_NOWAIT)
static int fileread(void) {
  off_t blocks;
  int fd = file_open(&blocks), nowait = narg("nowait", 0);
  long n = narg("n", 300000), miss = 0;
  char *buf = aligned_alloc(4096, 4096);
  uint64_t t0 = now_ns();
  for (long i = 0; i < n; i++) {
    off_t o = (off_t)(rng() % blocks) * 4096;
    if (nowait) {
      struct iovec v = {buf, 4096};
      if (preadv2(fd, &v, 1, o, RWF_NOWAIT) == 4096) continue;
      miss++;
    }
    if (pread(fd, buf, 4096, o) != 4096) die("pread");
  }
  emit("fileread", n, n * 1e9 / (now_ns() - t0), "iops");
  if (miss) fprintf(stderr, "not cached: %ld\n", miss);
  return 0;
}
int main(int argc, char **argv) {
  bench_start(argc, argv, "raw-epoll");
  const char *b = argc > 1 ? argv[1] : "";
  if (!strcmp(b, "pipes")) return run_pipes(&(struct pipes_ops){p_init, p_reg, p_poll});
  if (!strcmp(b, "timers"))
    return narg("wheel", 0) ? run_timers(&(struct timers_ops){w_init, w_arm, w_cancel, w_poll, NULL})
                            : run_timers(&(struct timers_ops){t_init, t_arm, t_cancel, t_poll, t_refresh});
  if (!strcmp(b, "wake")) {
    if (!narg("flag", 0)) run_wake(&(struct wake_ops){l_make, l_post, l_run, l_stop});
    // the same posts with a pending flag, the cheapest known way; with --flag=1 only these
    struct wake_ops f = {l_make, l_post_flag, l_run, l_stop};
    pthread_t t;
    wk_rounds = narg("posts", 1000000);
    wk = &f;
    wk_done = 0;
    wk_a = l_make(wk_flag_cb, NULL);
    uint64_t t0 = now_ns();
    pthread_create(&t, NULL, wk_producer, NULL);
    l_run(wk_a);
    emit("wake_post_flag", wk_rounds, (double)(now_ns() - t0) / wk_rounds, "ns");
    pthread_join(t, NULL);
    return 0;
  }
  if (!strcmp(b, "echo")) echo();
  if (!strcmp(b, "fileread")) return fileread();
  return UNSUPPORTED;
}
