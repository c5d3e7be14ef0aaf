"""What `run`, `paired` and `counts` share: building, the list of programs, and one echo server under load."""
import glob, json, os, random, re, select, shlex, shutil, socket, statistics, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
OUT = os.path.join(TARGET, "rig")
DATA = os.path.join(OUT, "data.bin")

# Debian's packages for what is called; each is only asked for where it is missing.
C_PEERS = {"raw_epoll": ([], None), "loadgen": ([], None), "uv": (["-luv"], "libuv1-dev"),
           "libevent": (["-levent", "-levent_pthreads"], "libevent-dev"), "libev": (["-lev"], "libev-dev"),
           "sdevent": (["-lsystemd"], "libsystemd-dev"), "libmosquitto": (["-lmosquitto"], "libmosquitto-dev")}
HEADERS = {"libuv1-dev": "uv.h", "libevent-dev": "event2/event.h", "libev-dev": "ev.h", "libsystemd-dev": "systemd/sd-event.h",
           "libmosquitto-dev": "mosquitto.h"}
HIGHER = {"req/s", "MB/s", "iops", "msg/s"}


def say(*what):
    print(*what, file=sys.stderr, flush=True)


def want(tools, packages=()):
    """Installs what is missing, where this user may; else says so. Nothing is fatal here."""
    missing = [package for tool, package in tools.items() if not shutil.which(tool)]
    missing += [p for p in packages if not glob.glob("/usr/include/" + HEADERS[p]) and not glob.glob("/usr/include/*/" + HEADERS[p])]
    if not missing:
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say("rig: installing", *missing)
        cmd = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *missing]
        env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": env}
        if subprocess.run(cmd, **quiet).returncode:
            subprocess.run(["apt-get", "update", "-qq"], **quiet)
            if subprocess.run(cmd, **quiet).returncode:
                say("rig: that failed; what needs them is left out")
    else:
        say("rig: missing, and what needs them is left out:", *missing)


def build(peers=True):
    """Builds everything into OUT/bin; what cannot be built is said, and left out."""
    os.makedirs(OUT + "/bin", exist_ok=True)
    want({"gcc": "gcc", "taskset": "util-linux", **({"go": "golang-go", "mosquitto": "mosquitto"} if peers else {})}, HEADERS if peers else ())
    for name, (libs, package) in C_PEERS.items():
        if package and not peers:
            continue
        cmd = ["gcc", "-O2", "-Wall", "-Wextra", "-pthread", f"{HERE}/peers/c/{name}.c", "-o", f"{OUT}/bin/{name}", *libs]
        if not shutil.which("gcc") or subprocess.run(cmd, stderr=None if not package else subprocess.DEVNULL).returncode:
            say(f"rig: NOT BUILT: {name}")
    ours = ["cargo", "build", "--quiet", "--profile", "benches", "-p", "becket-benches"]
    subprocess.run(ours, cwd=ROOT, check=True, env=dict(os.environ, CARGO_TARGET_DIR=TARGET))
    for name in ["becket_loop_bench", "becket_fiber_bench", "becket_mosquitto_bench"]:
        shutil.copy(f"{TARGET}/benches/{name}", f"{OUT}/bin/")
    # The same fibers, switched by another crate.
    other = [*ours, "--bin", "becket_fiber_bench", "--features", "corosensei"]
    subprocess.run(other, cwd=ROOT, check=True, env=dict(os.environ, CARGO_TARGET_DIR=TARGET))
    shutil.copy(f"{TARGET}/benches/becket_fiber_bench", f"{OUT}/bin/becket_fiber_bench_corosensei")
    target = TARGET + "/peers"
    theirs = ["cargo", "build", "--quiet", "--locked", "--release", "--manifest-path", HERE + "/peers/Cargo.toml"]
    if not peers: # the limits are among them
        theirs += ["--bin", "uring", "--bin", "generator"]
    if subprocess.run(theirs, env=dict(os.environ, CARGO_TARGET_DIR=target)).returncode:
        say("rig: NOT BUILT: the peers in Rust")
    for source in glob.glob(HERE + "/peers/src/bin/*.rs"):
        program = f"{target}/release/" + os.path.basename(source)[:-3]
        if os.path.exists(program):
            shutil.copy(program, OUT + "/bin/")
    if peers:
        go = ["go", "build", "-o", OUT + "/bin/gopeer", "."]
        if not shutil.which("go") or subprocess.run(go, cwd=HERE + "/peers/go", env=dict(os.environ, GOPROXY="off")).returncode:
            say("rig: NOT BUILT: go")
    if not os.path.exists(DATA):
        with open(DATA + ".part", "wb") as f:
            for _ in range(256):
                f.write(random.randbytes(1 << 20))
        os.rename(DATA + ".part", DATA)


def programs(only="", added=()):
    """The list of peers.json and what the command line adds, without what is not built."""
    found = json.load(open(HERE + "/peers/peers.json"))
    for p in found:
        p["cmd"] = [c.replace("$OUT", OUT) for c in p["cmd"]]
    for text in added:
        name, _, cmd = text.partition("=")
        cmd, benches = re.match(r"^(.*?)(?::([a-z,\-]+))?$", cmd).groups()
        found.append({"name": name, "cmd": shlex.split(cmd), **({"benches": benches.split(",")} if benches else {})})
    if only:
        keep = set(only.split(",")) | {text.partition("=")[0] for text in added}
        found = [p for p in found if p["name"] in keep]
    for p in found:
        if not os.path.exists(p["cmd"][0]):
            say("rig: not there:", p["name"])
    return [p for p in found if os.path.exists(p["cmd"][0])]


def has(program, bench):
    listed = program.get("benches")
    return listed is None or bench in listed or (bench == "idle-conn" and "echo" in listed)


def cpu_by_thread(pid):
    """-> {thread: its processor time in ns}"""
    found = {}
    for name in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        try:
            found[name] = int(open(name).read().split()[0])
        except OSError:
            pass
    return found


def cpu_ns(pid):
    """Processor time of all threads."""
    return sum(cpu_by_thread(pid).values())


def shares(before, after):
    """What part of the work each thread did that did any to speak of, in %, the least first: of `cpu_by_thread`'s."""
    spent = {thread: ns - before.get(thread, 0) for thread, ns in after.items()}
    total = max(1, sum(spent.values()))
    return sorted(100 * ns / total for ns in spent.values() if ns > total / 50)


def memory(pid):
    for line in open(f"/proc/{pid}/smaps_rollup"):
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024


def readline(process, secs):
    if not select.select([process.stdout], [], [], secs)[0]:
        raise TimeoutError(f"silent for {secs} s")
    return process.stdout.readline().decode()


def where(program):
    """On which processors a server runs: on one, and if it has several threads, on all that the load generator leaves."""
    cpus = os.cpu_count() or 1
    many = program.get("threads", 1) > 1 and cpus > 2
    return ("taskset", "-c", f"0,2-{cpus - 1}" if many else "0")


class Server:
    """An echo server on a free port; `wrap` comes before its command."""
    port = 20000 + random.randrange(9000)

    def __init__(self, cmd, args=(), wrap=("taskset", "-c", "0"), patience=10):
        Server.port = Server.port + 1 if Server.port < 30000 else 20000
        self.process = subprocess.Popen([*wrap, cmd[0], "echo", *cmd[1:], *args, f"--port={Server.port}"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.pid, self.there = self.process.pid, True
        try:
            if not readline(self.process, patience).startswith("READY"):
                self.stop()
                if self.process.returncode != 3:
                    raise RuntimeError(f"no READY from {cmd[0]}")
                self.there = False
        except TimeoutError:
            self.stop()
            raise

    def load(self, **args):
        options = [f"--{key}={value}" for key, value in args.items()]
        return subprocess.Popen(["taskset", "-c", "1", OUT + "/bin/loadgen", f"--port={Server.port}", *options],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Broker:
    """A mosquitto on a free port that holds nothing back; `port` is None where there is none."""

    def __init__(self):
        self.port, self.process = None, None
        program = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
        if not program:
            return
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        config = OUT + "/mosquitto.conf"
        with open(config, "w") as f:
            f.write(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nmax_inflight_messages 1000\n"
                    "max_queued_messages 0\n")
        self.process = subprocess.Popen(["taskset", "-c", "1", program, "-c", config], stderr=subprocess.DEVNULL)
        for _ in range(1000):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        self.stop()
        raise RuntimeError("mosquitto does not listen")

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()


def finish(process):
    process.kill()
    process.wait()
    process.stdout.close()
    process.stderr.close()


def heard(load, what, secs):
    """The load generator's next line."""
    line = readline(load, secs)
    if not line.startswith(what):
        raise RuntimeError("load generator: " + load.stderr.read().decode()[-200:])
    return line


def quartiles(values):
    """First quartile, median and third quartile, between values where they fall between."""
    if len(values) == 1:
        return tuple(values * 3)
    return tuple(statistics.quantiles(values, n=4, method="inclusive"))


def ratios(base, values):
    """Of each round to the base in the same round."""
    if len(base) != len(values):
        raise ValueError("not as many rounds")
    return [v / b for v, b in zip(values, base)]


def per_op(once, twice, ops):
    """What one operation costs, from a run of `ops` and one of twice as many: what comes once cancels out."""
    return (twice - once) / ops


def relative(value, base, unit):
    """How many times worse: above 1 is worse, whichever way the unit counts."""
    if not value or not base:
        return None
    return base / value if unit in HIGHER else value / base


def best(values, unit):
    return max(values) if unit in HIGHER else min(values)
