"""What goes wrong during a soak: signals, a provider that dies, connections that break."""

import signal
import threading
from random import Random

from acceptance.proxy import Kind, Trap, When
from watch.rig import free_port

from soak.services import Service, send
from soak.stage import ALL, TURNS, Stage

_FREEZE, _SERVER = "thaw", "server"


class Troubles:
    """Disturbs watchers, their engines, the provider and the way to it."""

    def __init__(self, stage: Stage, random: Random) -> None:
        self.stage, self.random = stage, random

    # --- watchers

    def end(self) -> None:
        """SIGTERM or SIGINT; then it is started again."""
        self._thaw()
        how = self.random.choice([signal.SIGTERM, signal.SIGINT])
        self.stage.main.signal(how)
        self.stage.ended(self.stage.main, how)
        self._start()

    def end_twice(self) -> None:
        """SIGTERM, and again while it drains."""
        self._thaw()
        self.stage.main.signal(signal.SIGTERM)
        self.stage.main.wait_for("log", self.stage.main.types["log"], 0.3)
        self.stage.main.signal(signal.SIGTERM)
        self.stage.ended(self.stage.main, signal.SIGTERM)
        self._start()

    def kill(self) -> None:
        """SIGKILL; then it is started again."""
        self._thaw()
        self.stage.main.signal(signal.SIGKILL)
        self.stage.ended(self.stage.main, signal.SIGKILL)
        self._start()

    def hang_up(self) -> None:
        """SIGHUP: it loads everything anew."""
        self.stage.main.signal(signal.SIGHUP)

    def kill_engine(self) -> None:
        """SIGKILL an engine: the one in charge, or one that loads."""
        engines = self.stage.main.engines()
        if engines:
            self.stage.done["engine killed"] += 1
            send([self.random.choice(engines)], signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP the watcher, or its engines, or both, for some seconds."""
        self._thaw()
        main, engines = self.stage.main.pid, self.stage.main.engines()
        self.stage.freeze(self.random.choice([[main], engines, [main, *engines]]))
        self.stage.soon(self.random.choice([1.0, 3.0, 8.0]), _FREEZE, self.stage.thaw)

    def hand_over(self) -> None:
        """Let a second watcher wait; it takes over from one that ends, dies, or stands still."""
        self._thaw()
        stage, first = self.stage, self.stage.main
        second = stage.another(free_port())
        second.wait_until("lease", ok=False)
        how = self.random.choice([signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP, signal.SIGSTOP])
        stage.done[f"standby takes over: {how.name}"] += 1
        if how == signal.SIGSTOP:
            self._take_away(first)
        else:
            first.signal(how)
        second.wait_until("lease", ok=True)
        stage.thaw()
        if how == signal.SIGSTOP:
            first.wait_until("lease", ok=False)
            first.signal(how := signal.SIGTERM)
        stage.ended(first, how)
        stage.main = second

    def _take_away(self, first: Service) -> None:
        """Stop who leads, and take its lock away; on one machine it is nobody's before."""
        stage = self.stage
        stage.freeze([first.pid, *first.engines()])
        lease = stage.run("status", "--json", codes={0, 3, 4}).document()["lease"]
        if lease is not None:
            stage.run("unlock", lease["holder"], "--auto-approve", codes={0, 1, 5})

    def _start(self) -> None:
        self.stage.options = self.random.choice([ALL, ALL, TURNS])
        self.stage.watch()

    def _thaw(self) -> None:
        self.stage.finish(_FREEZE)

    # --- the provider

    def kill_server(self) -> None:
        """SIGKILL the provider's server; it is back some seconds later."""
        stage = self.stage
        if stage.begun(_SERVER):
            return
        stage.server.die()
        stage.soon(self.random.choice([0.1, 1.0, 5.0]), _SERVER, self._restart_server)

    def _restart_server(self) -> None:
        self.stage.proxy.upstream = self.stage.server.start()

    def break_connection(self) -> None:
        """Let a call get no answer, half of one, or a late one."""
        proxy = self.stage.proxy
        if proxy.trap is not None and proxy.trap.kind != "list":
            return  # the call it waits for comes
        kinds: tuple[Kind, ...] = ("upload", "create", "create", "poll", "list", "download")
        whens: tuple[When, ...] = ("before", "after", "inside")
        kind, when = self.random.choice(kinds), self.random.choice(whens)
        seconds = self.random.choice([0.0, 0.0, 0.0, 1.0, 3.0])

        def spring() -> None:
            self.stage.done[f"connection broken: {when} {kind}"] += 1
            threading.Event().wait(seconds)

        proxy.trap = Trap(kind, when, action=spring)
