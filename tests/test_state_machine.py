"""Write, kill, resume, grow, remove and read in any order: what is read is what numpy says."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from actlas.core import InputError
from actlas.storage import (
    Database,
    Extraction,
    activation_records,
    claim,
    owner_name,
    read_activations,
    shards_of,
)
from actlas.testing import handmade
from actlas.testing.tampering import (
    Interrupted,
    check_matrices,
    failing,
    faults,
    hush,
    refused,
)

SITES = st.sets(st.sampled_from(sorted(handmade.SITES)), min_size=1).map(
    lambda names: {n: handmade.SITES[n] for n in sorted(names)}
)
DTYPES = st.sampled_from(["float32", "float16", "int8"])
SAMPLES = st.sampled_from([1, 3, 5, 8])
TABLES = st.sampled_from(["payloads", "chunks", "rows"])
PICK = st.integers(0, 63)


class StoreMachine(RuleBasedStateMachine):
    """A store, and beside it what ought to be in it: extraction → (samples, sites asked for)."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.database = Database.open(self.url)
        self.wanted: dict[int, tuple[int, dict[str, int]]] = {}
        self.owners: dict[tuple[int, int], str] = {}

    def teardown(self) -> None:
        for ident in list(self.wanted):
            self.database.remove(Extraction, ident)
        assert self.database.sizes()["payloads"] == 0
        assert self.database.sizes()["rows"] == 0
        self.database.close()

    def _extraction(self, pick: int) -> Extraction:
        ident = sorted(self.wanted)[pick % len(self.wanted)]
        return self.database.find(Extraction, ident)

    def _shard(self, extraction: Extraction, pick: int) -> Any:
        shards = shards_of(self.database, extraction.id)
        return shards[pick % len(shards)]

    def _claimed(self, extraction: Extraction, shard: Any) -> str:
        """The claim on a shard, taken from the dead where it must be."""
        key = (extraction.id, shard.shard)
        if key not in self.owners:
            owner = owner_name()
            if claim(self.database, *key, owner) is not None:
                hush(self.database, extraction, shard.shard)
                assert claim(self.database, *key, owner) is None
            self.owners[key] = owner
        return self.owners[key]

    @rule(samples=SAMPLES, sites=SITES, dtype=DTYPES, shards=st.sampled_from([None, None, 1, 2, 3]))
    def begin(self, samples: int, sites: dict[str, int], dtype: str, shards: int | None) -> None:
        """Ask for an extraction: a new one, or sites of one that is there, or a grown one."""
        try:
            made = handmade.begin(self.database, samples, sites, dtype=dtype, shards=shards)
        except InputError:  # it is cut into another number of shards, and begun
            assert shards is not None
            return
        _, known = self.wanted.get(made.id, (samples, {}))
        self.wanted[made.id] = (samples, known | sites)

    @precondition(lambda self: self.wanted)
    @rule(pick=PICK, shard=PICK, windows=st.integers(1, 3))
    def write(self, pick: int, shard: int, windows: int) -> None:
        """Write some windows of a shard."""
        extraction = self._extraction(pick)
        chosen = self._shard(extraction, shard)
        owner, sites = self._claimed(extraction, chosen), self.wanted[extraction.id][1]
        handmade.write_shard(self.database, extraction, chosen, owner, sites, windows=windows)

    @precondition(lambda self: self.wanted)
    @rule(pick=PICK)
    def finish(self, pick: int) -> None:
        """Write all that an extraction lacks."""
        extraction = self._extraction(pick)
        sites = self.wanted[extraction.id][1]
        for shard in shards_of(self.database, extraction.id):
            owner = self._claimed(extraction, shard)
            while not handmade.write_shard(self.database, extraction, shard, owner, sites):
                pass
        known = {a.site: a for a in activation_records(self.database, extraction.id)}
        assert all(known[site].complete for site in sites)

    @precondition(lambda self: self.owners)
    @rule(pick=PICK)
    def kill(self, pick: int) -> None:
        """The owner of a shard dies: its claim stays, and goes stale."""
        del self.owners[sorted(self.owners)[pick % len(self.owners)]]

    @precondition(lambda self: self.wanted)
    @rule(pick=PICK, shard=PICK, table=TABLES)
    def die_in_a_commit(self, pick: int, shard: int, table: str) -> None:
        """A process ends in the middle of the transaction of a window or an index."""
        extraction = self._extraction(pick)
        chosen = self._shard(extraction, shard)
        owner, sites = self._claimed(extraction, chosen), self.wanted[extraction.id][1]
        before = self.database.sizes()
        try:
            with failing(self.database, table):
                handmade.write_shard(self.database, extraction, chosen, owner, sites, windows=1)
        except Interrupted:
            after = self.database.sizes()
            assert after | {"parts": before["parts"]} == before

    @precondition(lambda self: self.owners)
    @rule(pick=PICK)
    def intrude(self, pick: int) -> None:
        """Another process cannot take a shard somebody is at work on."""
        ident, shard = sorted(self.owners)[pick % len(self.owners)]
        assert claim(self.database, ident, shard, owner_name()) == self.owners[ident, shard]

    @precondition(lambda self: self.wanted)
    @rule(pick=PICK)
    def remove(self, pick: int) -> None:
        """Delete an extraction; others that share its bytes keep them."""
        ident = self._extraction(pick).id
        self.database.remove(Extraction, ident)
        del self.wanted[ident]
        self.owners = {k: o for k, o in self.owners.items() if k[0] != ident}

    @invariant()
    def reads_what_was_written(self) -> None:
        """Every complete site is the matrix it ought to be, whole and gathered."""
        for ident, (samples, _) in self.wanted.items():
            extraction = self.database.find(Extraction, ident)
            sites = activation_records(self.database, ident)
            complete = {a.site: a.width for a in sites if a.complete}
            if complete:
                check_matrices(self.database, extraction, complete, samples)
            for site in (a.site for a in sites if not a.complete):
                with refused(InputError):
                    read_activations(self.database, extraction, site)

    @invariant()
    def verify_finds_nothing(self) -> None:
        """No step leaves anything that `verify` has to say a word about."""
        assert faults(self.database) == []


def run(url: str, examples: int, steps: int) -> None:
    machine = type("Machine", (StoreMachine,), {"url": url})
    chosen = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=True,
        suppress_health_check=list(HealthCheck), database=None,
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=chosen)


def test_any_order_on_sqlite(tmp_path: Path) -> None:
    run(f"sqlite:///{tmp_path}/store.db", examples=4, steps=12)


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_any_order_on_postgresql(store_url: str) -> None:
    run(store_url, examples=1, steps=12)
