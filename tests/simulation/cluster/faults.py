"""Bad luck: what strikes, whom, and for how long (faults F1 to F13, F18 and F20 of the plan)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

from broker.cluster.frame_kinds import Channel
from broker.core.topology_commands import MarkLeaving, PutShard
from broker.model.names import PeerId
from kernel.disk import SimDisk
from kernel.journal import Damage
from tests.simulation.cluster.machine import CAPACITY, Machine
from tests.simulation.cluster.process import Process
from tests.simulation.ledger import Broken

if TYPE_CHECKING:
    from tests.simulation.cluster.simulation import ClusterSimulation

SECOND_US = 1_000_000
LEAST_COUNT = 3
"""No node is asked to go if there are no more."""
SLOW_TROUBLE_US = 100_000
"""A way that is slower than this brings trouble."""


class Faults:
    """Of one simulation."""

    def __init__(self, world: ClusterSimulation) -> None:
        self.world = world
        self.random = world.random
        self.skew_ms = 0
        """By how much clocks were set wrong, at most."""
        self.affected: Machine | None = None
        """Whose disk lost what was synced: one at a time, so that every record is whole elsewhere."""
        self._marks: dict[int, int] = {}
        """What was applied then, by shard."""
        self._healed = False

    def begin(self) -> None:
        for kind, rate in self.world.plan.faults.items():
            self._plan(kind, rate)

    def _plan(self, kind: str, rate: float) -> None:
        self.world.events.after(int(self.random.expovariate(rate) * SECOND_US), self._strike, kind, rate)

    def _strike(self, kind: str, rate: float) -> None:
        if self._healed:
            return
        self._plan(kind, rate)
        if STRIKES[kind](self):
            self.world.fault_counts[kind] += 1

    def _for_a_while(self, longest_s: float, end: Callable[..., object], *arguments: object) -> None:
        """Until it ends by itself, or is healed."""

        def over() -> None:
            if not self._healed:
                end(*arguments)

        self.world.events.after(int(self.random.uniform(0.05, longest_s) * SECOND_US), over)

    def _a_process(self) -> Process | None:
        processes = self.world.processes
        return self.random.choice(processes) if processes else None

    def _two(self) -> tuple[str, str]:
        one, other = self.random.sample(self.world.machines, 2)
        return one.name, other.name

    # ---- processes

    def start(self, machine: Machine) -> None:
        """Its process is started, if it may be."""
        world = self.world
        if machine.process is not None or not machine.present:
            return
        if not machine.powered:
            machine.powered = True
            world.net.receive_boot(machine)
        try:
            process = machine.process = Process(machine, world)
        except OSError as error:
            world.note(f"{machine.name} does not start: {error}")
            if self._healed:
                raise Broken("I25", f"{machine.name} does not start: {error}") from error
            world.events.after(SECOND_US, self.start, machine)
            return
        except Damage as damage:
            if machine is not self.affected:
                raise Broken("I8", f"crashes alone left damage at {machine.name}: {damage}") from damage
            world.note(f"{machine.name} refuses to start: {damage}")
            world.fault_counts["refused disk"] += 1
            self._renew(machine)
            world.events.after(SECOND_US, self.start, machine)
            return
        if machine.closed_cleanly and not process.journal.closed_cleanly:
            raise Broken("I8", f"{machine.name} did not find that it was closed cleanly")
        machine.closed_cleanly = False
        world.start_count += 1
        world.ledger.come(machine.name, (other.name for other in world.machines if other.process is not None))
        world.note(f"{machine.name} starts, cut: {process.journal.cut}")

    def end(self, machine: Machine, how: str, disk: Callable[[SimDisk], None], told: bool = True) -> None:
        """Its process is gone; it will be started again."""
        process = machine.process
        world = self.world
        world.note(f"{how} of {machine.name}")
        if process is None:
            return
        machine.process = None
        machine.powered = told
        world.end_wires(process)
        process.end()
        world.net.end_process(process, told)
        disk(machine.disk)
        world.ledger.fall()
        world.ledger.forget(machine.name)
        delay_s = 0.2 if self._healed else self.random.choice([0.05, 0.5, 3.0, 8.0])
        world.events.after(int(delay_s * SECOND_US), self.start, machine)

    def crash_machine(self, machine: Machine) -> None:
        """The power goes."""
        seed = self.random.getrandbits(64)
        self.end(machine, "crash", lambda disk: disk.crash(seed), told=False)

    def kill_machine(self, machine: Machine) -> None:
        self.end(machine, "kill", lambda disk: disk.kill())

    def restart_later(self, machine: Machine) -> None:
        """Somebody sees that the node's disk failed, and starts it again."""
        process = machine.process

        def restart() -> None:
            if machine.process is process and process is not None:
                if self.random.random() < 0.5:
                    self.crash_machine(machine)
                else:
                    self.kill_machine(machine)

        self.world.events.after(int(self.random.uniform(0.1, 4.0) * SECOND_US), restart)

    def crash(self) -> bool:
        process = self._a_process()
        if process is not None:
            self.crash_machine(process.machine)
        return process is not None

    def kill(self) -> bool:
        process = self._a_process()
        if process is not None:
            self.kill_machine(process.machine)
        return process is not None

    def stop(self) -> bool:
        """SIGTERM, of one node or, now and then, of all."""
        processes = [p for p in self.world.processes if p.takes_in]
        if not processes:
            return False
        for process in processes if self.random.random() < 0.15 else [self.random.choice(processes)]:
            self.world.note(f"{process.name} is to stop")
            process.stop()
        return True

    def crash_all(self) -> bool:
        for process in self.world.processes:
            self.crash_machine(process.machine)
        return True

    def kill_all(self) -> bool:
        for process in self.world.processes:
            self.kill_machine(process.machine)
        return True

    def crash_while_it_writes(self) -> bool:
        """The power goes in the middle of something."""
        process = self._a_process()
        if process is None:
            return False
        machine = process.machine
        machine.disk.cut_power_after(self.random.randint(0, 6))

        def crash() -> None:
            if machine.process is process:
                self.crash_machine(machine)

        self.world.events.after(int(self.random.uniform(0.001, 0.3) * SECOND_US), crash)
        return True

    def pause(self) -> bool:
        process = self._a_process()
        if process is None or process.paused:
            return False
        process.pause()
        self.world.note(f"{process.name} stands still")
        self.world.ledger.trouble(process.name)
        seconds = self.random.choice([0.1, 0.4, 0.7, 1.0, 1.5, 3.0, 10.0, 60.0])
        self.world.events.after(int(seconds * SECOND_US), self._resume, process)
        return True

    def _resume(self, process: Process) -> None:
        if process.alive and process.paused:
            self.world.note(f"{process.name} goes on")
            self.world.ledger.trouble(process.name)
            process.resume()

    # ---- the net

    def _cut(self, ways: list[tuple[str, str]], longest_s: float, what: str) -> bool:
        self.world.note(f"{what}: {' '.join('>'.join(way) for way in ways)}")
        self.world.net.cut(ways)
        self._for_a_while(longest_s, self._join, ways)
        return True

    def _join(self, ways: list[tuple[str, str]]) -> None:
        self.world.note(f"again: {' '.join('>'.join(way) for way in ways)}")
        self.world.net.heal(ways)

    def partition(self) -> bool:
        """One, halves, random, a ring in which everybody hears a majority, or two halves with a bridge."""
        names = [machine.name for machine in self.world.machines]
        self.random.shuffle(names)
        kind = self.random.choice(["one", "halves", "random", "ring", "bridge"])
        pairs = list(itertools.permutations(names, 2))
        half = len(names) // 2
        if kind == "one":
            cut = [pair for pair in pairs if names[0] in pair]
        elif kind == "halves":
            cut = [pair for pair in pairs if (pair[0] in names[:half]) != (pair[1] in names[:half])]
        elif kind == "bridge":
            first, second = names[1 : 1 + half], names[1 + half :]
            cut = [pair for pair in pairs if (pair[0] in first and pair[1] in second) or
                   (pair[0] in second and pair[1] in first)]  # fmt: skip
        elif kind == "ring":
            count = len(names)
            near = {(names[i], names[(i + 1) % count]) for i in range(count)}
            near |= {(other, one) for one, other in near}
            cut = [pair for pair in pairs if pair not in near] or pairs[:1]
        else:
            cut = [pair for pair in pairs if self.random.random() < 0.4]
        return self._cut(cut, self.random.choice([1.0, 4.0, 15.0]), f"partition ({kind})")

    def one_way(self) -> bool:
        return self._cut([self._two()], self.random.choice([1.0, 4.0, 15.0]), "one way")

    def swizzle(self) -> bool:
        """Some nodes are cut off one after the other, and come back in another order."""
        names = [machine.name for machine in self.world.machines]
        chosen = self.random.sample(names, self.random.randint(1, len(names)))
        at = 0.0
        for name in chosen:
            at += self.random.uniform(0.0, 1.0)
            ways = [pair for pair in itertools.permutations(names, 2) if name in pair]
            self.world.events.after(int(at * SECOND_US), self._clog, ways)
        return True

    def _clog(self, ways: list[tuple[str, str]]) -> None:
        if not self._healed:
            self._cut(ways, 5.0, "clogged")

    def reset(self) -> bool:
        one, other = self._two()
        self.world.note(f"connections of {one} and {other} break")
        return self.world.net.reset(one, other) > 0

    def corrupt(self) -> bool:
        self.world.net.way(*self._two()).corrupt = True
        return True

    def slow_way(self) -> bool:
        names = self._two()
        way = self.world.net.way(*names)
        way.slow_us = self.random.choice([5_000, 50_000, 300_000, 2_000_000, 5_000_000])
        way.us_per_byte = self.random.choice([0.0, 1.0, 10.0])
        way.slow_channel = self.random.choice([None, *Channel])
        self.world.note(f"the way from {names[0]} to {names[1]} is slow: {way.slow_us} us, {way.slow_channel or 'all'}")
        if way.slow_us > SLOW_TROUBLE_US or way.us_per_byte:
            self.world.ledger.trouble(*names)
        self._for_a_while(5.0, self._quicken, names)
        return True

    def _quicken(self, names: tuple[str, str]) -> None:
        way = self.world.net.way(*names)
        way.slow_us, way.us_per_byte, way.slow_channel = 0, 0.0, None
        self.world.ledger.trouble(*names)

    # ---- nodes that come, go, and lose their disks

    def _may_affect(self, machine: Machine) -> bool:
        """Every shard has all its voters, and what was there when the last disk was lost is at all of them."""
        world = self.world
        shards = range(world.plan.shard_count + 1)
        if machine.leaving or not world.serves():
            return False
        if any(other.flipped for other in world.machines if other is not machine):
            return False  # what is wrong there may not have been found yet
        applied = [[process.kernels[shard].applied_index for process in world.members(shard)] for shard in shards]
        if any(min(applied[shard]) < self._marks.get(shard, 0) for shard in shards):
            return False
        self._marks = {shard: max(applied[shard]) for shard in shards}
        self.affected = machine
        return True

    def _renew(self, machine: Machine) -> None:
        """Somebody gives it an empty disk, so it is a new peer."""
        machine.disk = SimDisk(CAPACITY)
        machine.full = machine.closed_cleanly = machine.flipped = False
        machine.peer = machine.random.getrandbits(63) | 1

    def replace(self, machine: Machine) -> None:
        """Its process is gone, and so is what its disk held."""
        self.end(machine, "end", lambda disk: disk.kill())
        self._renew(machine)

    def wipe(self) -> bool:
        process = self._a_process()
        if process is None or not self._may_affect(process.machine):
            return False
        self.world.note(f"{process.name} loses its disk")
        self.replace(process.machine)
        return True

    def flip(self) -> bool:
        """While a node is down single bits of files that were closed change."""
        process = self._a_process()
        if process is None or not self._may_affect(process.machine):
            return False
        machine = process.machine
        self.kill_machine(machine)
        names = machine.disk.names()
        journals = [name for name in names if name.startswith("journal")]
        closed = [name for name in names if name not in journals[-1:]]
        for _ in range(self.random.choice([1, 1, 3])):
            name = self.random.choice(closed)
            size = len(machine.disk.read(name).rstrip(b"\0"))
            if size:
                position, bit = self.random.randrange(size), self.random.randrange(8)
                machine.disk.flip_bit(name, position, bit)
                machine.flipped = True
                self.world.note(f"bit {bit} of {name}:{position} of {machine.name} is flipped")
        return True

    def fail_read(self) -> bool:
        process = self._a_process()
        if process is None:
            return False
        names = process.machine.disk.names()
        process.machine.disk.fail_read_once(self.random.choice(names))
        return True

    def come(self) -> bool:
        """A machine that was not there is to be a node."""
        absent = [machine for machine in self.world.machines if not machine.present]
        if not absent:
            return False
        machine = absent[0]
        if machine.incarnation:
            self._renew(machine)
        machine.present, machine.leaving = True, False
        self.world.note(f"{machine.name} is to come in")
        self.start(machine)
        return True

    def leave(self) -> bool:
        """A node is to go, if there are enough without it."""
        present = [machine for machine in self.world.machines if machine.present and not machine.leaving]
        leader = self.world.leader_of(0)
        if len(present) <= LEAST_COUNT or leader is None or leader.broker is None:
            return False
        machine = self.random.choice(present)
        if leader.broker.back.topology.node(PeerId(machine.peer)) is None:
            return False
        machine.leaving = True
        self.world.note(f"{machine.name} is to go")
        self._mark(machine)
        return True

    def _mark(self, machine: Machine) -> None:
        """Until it is no node any more: it may be said to a leader that falls."""
        leader = self.world.leader_of(0)
        if leader is not None and leader.broker is not None and not leader.paused:
            topology = leader.broker.back.topology
            row = topology.node(PeerId(machine.peer))
            if row is None and leader.broker.back.meta_shard.hands_out:
                self.world.note(f"{machine.name} is gone")
                self.end(machine, "end", lambda disk: disk.kill())
                machine.present = False
                return
            if row is not None and row.state != "leaving":
                leader.broker.back.submit(MarkLeaving(PeerId(machine.peer)))
                leader.ring()
        self.world.events.after(SECOND_US, self._mark, machine)

    # ---- disks and clocks

    def sync_fault(self) -> bool:
        process = self._a_process()
        if process is None:
            return False
        disk = process.machine.disk
        names = [name for name in disk.names() if name.startswith("journal")] or disk.names()
        disk.fail_sync_once(names[-1])
        self.world.note(f"a sync of {process.name} is to fail")
        return True

    def full_disk(self) -> bool:
        machine = self.random.choice(self.world.machines)
        if machine.full:
            return False
        machine.full = True
        machine.disk.set_capacity(CAPACITY - machine.disk.free + self.random.randint(0, 20_000))
        self.world.note(f"the disk of {machine.name} is full")
        self._for_a_while(5.0, self._empty, machine)
        return True

    def _empty(self, machine: Machine) -> None:
        if machine.full:
            machine.full = False
            machine.disk.set_capacity(CAPACITY)
            self.world.note(f"the disk of {machine.name} has room")

    def slow_disk(self) -> bool:
        machine = self.random.choice(self.world.machines)
        machine.disk_slow_us = self.random.choice([10_000, 100_000, 1_000_000])
        self.world.note(f"the disk of {machine.name} is slow")
        self._for_a_while(6.0, setattr, machine, "disk_slow_us", 0)
        return True

    def clock_step(self) -> bool:
        machine = self.random.choice(self.world.machines)
        step = self.random.choice([-3_600_000, -500, 500, 3_600_000])
        machine.clock.wall_offset_ms = step if machine.clock.wall_offset_ms < abs(step) else 0
        self.skew_ms = max(self.skew_ms, abs(machine.clock.wall_offset_ms))
        self.world.note(f"the clock of {machine.name} is set")
        return True

    # ---- leaders and clients

    def transfer(self) -> bool:
        shard = self.random.randint(0, self.world.plan.shard_count)
        leader = self.world.leader_of(shard)
        if leader is None or leader.paused:
            return False
        others = [machine for machine in self.world.machines if machine.present and machine is not leader.machine]
        to = self.random.choice(others)
        self.world.note(f"{leader.name} is to hand shard {shard} to {to.name}")
        asked = leader.kernels[shard].transfer_leader(to.peer)
        leader.ring()
        return asked

    def move(self) -> bool:
        """A replica, to a node that has none of its shard: as an operator asks for it, or who evens the load."""
        leader = self.world.leader_of(0)
        if leader is None or leader.broker is None or leader.paused or not leader.broker.back.meta_shard.hands_out:
            return False
        back = leader.broker.back
        rows = [row for row in back.topology.shard_rows() if row.shard]
        members = [row.peer for row in back.topology.nodes() if row.state != "leaving"]
        row = self.random.choice(rows)
        comers = [peer for peer in members if peer not in row.replicas]
        if not comers:
            return False
        leaver, comer = self.random.choice(row.replicas), self.random.choice(comers)
        self.world.note(f"shard {row.shard} is to go from {leaver} to {comer}")
        back.submit(
            PutShard(row.shard, row.replicas, tuple(comer if peer == leaver else peer for peer in row.replicas))
        )
        leader.ring()
        return True

    def vanish(self) -> bool:
        client = self.random.choice(self.world.clients)
        if client.link is None:
            return False
        self.world.note(f"{client.name} vanishes")
        client.vanish(self.random.choice([0, 0, 1, 20, 1000]))
        self.world._part(client)
        return True

    def deafen(self) -> bool:
        client = self.random.choice(self.world.clients)
        client.deaf_until_us = self.world.events.now_us + self.random.choice([100_000, 2_000_000, 20_000_000])
        return True

    # ---- healing

    def heal(self) -> None:
        """No more faults; who is down starts."""
        self._healed = True
        world = self.world
        world.net.heal_all()
        for machine in world.machines:
            machine.disk_slow_us = 0
            machine.full = False
            machine.disk.set_capacity(CAPACITY)
            process = machine.process
            if process is not None and process.paused:
                self._resume(process)
        if self.random.random() < 0.5:
            self.crash_all()
        for machine in world.machines:
            world.ledger.trouble(machine.name)


STRIKES: dict[str, Callable[[Faults], bool]] = {
    "crash": Faults.crash,
    "kill": Faults.kill,
    "crash of all": Faults.crash_all,
    "kill of all": Faults.kill_all,
    "stop": Faults.stop,
    "crash while it writes": Faults.crash_while_it_writes,
    "pause": Faults.pause,
    "partition": Faults.partition,
    "one way": Faults.one_way,
    "reset": Faults.reset,
    "corruption": Faults.corrupt,
    "slow way": Faults.slow_way,
    "swizzle": Faults.swizzle,
    "sync fault": Faults.sync_fault,
    "disk full": Faults.full_disk,
    "slow disk": Faults.slow_disk,
    "clock step": Faults.clock_step,
    "wiped disk": Faults.wipe,
    "flipped bit": Faults.flip,
    "read fault": Faults.fail_read,
    "newcomer": Faults.come,
    "leaver": Faults.leave,
    "transfer": Faults.transfer,
    "move": Faults.move,
    "client vanishes": Faults.vanish,
    "deaf client": Faults.deafen,
}
