"""What is computed from measurements. Run by `cargo test -p becket-benches`, or: python3 -B -m unittest -b test_rig"""
import importlib.machinery, importlib.util, json, os, unittest
import xml.etree.ElementTree as xml
import plot, rig


def load(name):
    loader = importlib.machinery.SourceFileLoader(name, os.path.join(rig.HERE, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


class Quartiles(unittest.TestCase):
    def test_of_rounds_paired_with_the_base(self):
        # The machine slows down fivefold; the server costs 1.1 times as much all the while, but for one round.
        base = [100, 200, 300, 400, 500]
        values = [110, 220, 330, 440, 1000]
        ratios = rig.ratios(base, values)
        self.assertEqual([round(r, 6) for r in ratios], [1.1, 1.1, 1.1, 1.1, 2.0])
        self.assertEqual([round(q, 6) for q in rig.quartiles(ratios)], [1.1, 1.1, 1.1])

    def test_need_no_order(self):
        self.assertEqual(rig.quartiles([5, 1, 4, 2, 3]), (2, 3, 4))

    def test_fall_between_two_values(self):
        self.assertEqual(rig.quartiles([1, 2, 3, 4]), (1.75, 2.5, 3.25))
        self.assertEqual(rig.quartiles([1, 3]), (1.5, 2, 2.5))

    def test_of_one_round(self):
        self.assertEqual(rig.quartiles([1.25]), (1.25, 1.25, 1.25))

    def test_rounds_that_do_not_pair(self):
        with self.assertRaises(ValueError):
            rig.ratios([1, 2], [1])


class Shares(unittest.TestCase):
    def test_of_the_threads_that_work(self):
        before = {"main": 900, "one": 100, "two": 0}
        self.assertEqual(rig.shares(before, {"main": 901, "one": 540, "two": 560}), [440 / 10.01, 560 / 10.01])

    def test_of_nothing(self):
        self.assertEqual(rig.shares({}, {"main": 0}), [])

    def test_are_told_from_the_worst_round(self):
        said = load("paired").said
        self.assertEqual(said([[48, 52], [45, 55], [50, 50]]), "  threads 45 to 55 %")
        self.assertEqual(said([[100], []]), "")


class Rotation(unittest.TestCase):
    def test_each_goes_first_in_its_turn(self):
        paired, order = load("paired"), []
        paired.one = lambda program, conns, secs: order.append(program["name"]) or len(order)
        found = paired.compare([{"name": n} for n in "abc"], 50, 3, 1)
        self.assertEqual("".join(order), "abcbcacab")
        self.assertEqual(found, {"a": [1, 6, 8], "b": [2, 4, 9], "c": [3, 5, 7]})


class Counts(unittest.TestCase):
    def test_start_cancels_out(self):
        start, each = 5000, 7
        self.assertEqual(rig.per_op(start + 100 * each, start + 200 * each, 100), each)

    def test_the_table_of_strace(self):
        text = "    calls syscall\n--------- ----------------\n     5000 sendto\n       12 epoll_pwait2\n--------- ----------------\n     5012 total\n"
        self.assertEqual(load("counts").counted(text), {"sendto": 5000, "epoll_pwait2": 12})


class Ratios(unittest.TestCase):
    def test_above_one_is_worse_whichever_way_it_counts(self):
        self.assertEqual(rig.relative(20, 10, "ns"), 2)
        self.assertEqual(rig.relative(5, 10, "iops"), 2)
        self.assertIsNone(rig.relative(5, None, "ns"))

    def test_rows_name_limit_and_best_peer(self):
        kinds = {"becket-loop": "ours", "raw-epoll": "limit", "libev": "peer", "mio": "peer"}
        result = {"when": "", "rounds": 2, "kinds": kinds, "errors": {}, "data": {
            "pipes n=100": {"unit": "us", "peers": {"becket-loop": [12, 11], "raw-epoll": [10, 13], "libev": [22, 30], "mio": [40, 33]}},
            "wake_post n=5": {"unit": "ns", "peers": {"becket-loop": [30, 30], "raw-epoll": [600, 600], "mio": [607, 607]}},
            "wake_post_flag n=5": {"unit": "ns", "peers": {"raw-epoll": [20, 21]}}}}
        pipes, post = load("run").rows(result)
        self.assertEqual(pipes[:8], ("pipes n=100", "becket-loop", 11, "us", "raw-epoll", 10, "libev", 22))
        self.assertEqual(post[:8], ("wake_post n=5", "becket-loop", 30, "ns", "raw-epoll", 20, "mio", 607))
        table = load("run").table(result)
        self.assertIn("| pipes n=100 | us | becket-loop | 11.0 | raw-epoll 10.0 | 1.10 | libev 22.0 | 0.50 | 9 % |", table)


class Plot(unittest.TestCase):
    def test_bars_start_at_one_and_fit(self):
        rows = [{"label": "a < b", "ours": "becket-loop", "ratio": r, "base": "raw", "is_limit": True, "peer": "p", "peer_ratio": p}
                for r, p in [(1.0, 2.0), (0.001, None), (5000.0, 1.5)]]
        drawing = xml.fromstring(plot.bars(rows, "title & more"))
        tag = "{http://www.w3.org/2000/svg}"
        bars = [r for r in drawing.iter(tag + "rect") if float(r.get("height", "0").strip("%")) == plot.ROW - 6]
        self.assertEqual(len(bars), 3)
        for bar in bars:
            self.assertGreaterEqual(float(bar.get("x")), plot.LEFT)
            self.assertLessEqual(float(bar.get("x")) + float(bar.get("width")), plot.LEFT + plot.WIDTH + 1.6)
        at_one, better, worse = bars
        self.assertEqual(at_one.get("width"), "1.5")
        self.assertAlmostEqual(float(better.get("x")) + float(better.get("width")), float(worse.get("x")), delta=0.2)


class Summary(unittest.TestCase):
    def test_the_drawing_is_that_of_the_table(self):
        with open(os.path.join(rig.HERE, "summary.svg")) as drawing:
            self.assertEqual(drawing.read(), load("summary").draw(), "run benches/summary")


class Programs(unittest.TestCase):
    def test_each_limit_is_in_the_list(self):
        listed = {p["name"]: p for p in json.load(open(rig.HERE + "/peers/peers.json"))}
        for name in load("run").LIMITS.values():
            self.assertEqual(listed[name]["kind"], "limit")


if __name__ == "__main__":
    unittest.main()
