"""To which biosamples and studies data objects belong: found in a few requests, however many data objects there are.

Source: NMDC schema, https://w3id.org/nmdc: a data object is the output of a workflow execution, which was informed by
a data generation, or of a data generation itself; that has a biosample as its input, or what material processing has
made of one, and is associated with studies, as biosamples are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import attrs

from dts_fsm.databases.nmdc.api import NmdcApi, Record, texts

_WORKFLOW = "nmdc:wf"
"""How the ids of workflow executions begin. Source: NMDC schema, typecodes."""

_MOST_STEPS = 10
"""How many steps of material processing are followed back from a data generation to a biosample."""


@attrs.frozen(kw_only=True)
class Related:
    """What a data object belongs to, each in order of id; empty where NMDC does not say.

    Attributes:
        studies, biosamples: their records.
    """

    studies: tuple[Record, ...] = ()
    biosamples: tuple[Record, ...] = ()


def related_to(api: NmdcApi, objects: Sequence[Record]) -> Mapping[str, Related]:
    """Give for the id of each data object what it belongs to.

    Raises:
        UnauthorizedError, TransientError, PermanentError: as ``NmdcApi.with_ids``.
    """
    ancestry = _Ancestry(api)
    ancestry.find_generations(objects)
    ancestry.find_biosamples()
    ancestry.find_studies()
    return {record["id"]: ancestry.related(record["id"]) for record in objects}


class _Ancestry:
    """What comes of what.

    Attributes:
        above: the ids directly above an id: of the process that made it, of its inputs, of what informed it.
        generations, biosamples, studies: records by id.
    """

    def __init__(self, api: NmdcApi) -> None:
        self._api = api
        self.above: defaultdict[str, set[str]] = defaultdict(set)
        self.generations: dict[str, Record] = {}
        self.biosamples: dict[str, Record] = {}
        self.studies: dict[str, Record] = {}

    def find_generations(self, objects: Sequence[Record]) -> None:
        """Climb from the data objects to the data generations; few of them say themselves what made them."""
        for record in objects:
            self.above[record["id"]].update(texts(record.get("was_generated_by")))
        makers = {maker for record in objects for maker in self.above[record["id"]]}
        workflows = self._api.with_ids("workflow_execution_set", {i for i in makers if i.startswith(_WORKFLOW)})
        workflows += self._makers("workflow_execution_set", self._without_maker(objects))
        for workflow in workflows:
            self.above[workflow["id"]].update(texts(workflow.get("was_informed_by")))
        generations = self._makers("data_generation_set", self._without_maker(objects))
        wanted = {i for i in makers if not i.startswith(_WORKFLOW)}
        wanted |= {i for workflow in workflows for i in self.above[workflow["id"]]}
        generations += self._api.with_ids("data_generation_set", wanted - {record["id"] for record in generations})
        for generation in generations:
            self.generations[generation["id"]] = generation
            self.above[generation["id"]].update(texts(generation.get("has_input")))

    def find_biosamples(self) -> None:
        """Climb on from the data generations to the biosamples."""
        samples = {i for generation in self.generations.values() for i in texts(generation.get("has_input"))}
        seen: set[str] = set()
        for _ in range(_MOST_STEPS):
            seen |= samples
            self.biosamples.update({record["id"]: record for record in self._api.with_ids("biosample_set", samples)})
            processes = self._makers("material_processing_set", samples - self.biosamples.keys())
            for process in processes:
                self.above[process["id"]].update(texts(process.get("has_input")))
            samples = {i for process in processes for i in self.above[process["id"]]} - seen
            if not samples:
                return

    def find_studies(self) -> None:
        """Get the studies of what was found."""
        records = (*self.generations.values(), *self.biosamples.values())
        wanted = {study_id for record in records for study_id in texts(record.get("associated_studies"))}
        self.studies = {record["id"]: record for record in self._api.with_ids("study_set", wanted)}

    def related(self, object_id: str) -> Related:
        """Give what a data object belongs to."""
        found: set[str] = set()
        left = {object_id}
        while left:
            found |= left
            left = {above for i in left for above in self.above.get(i, ())} - found
        biosamples = [self.biosamples[i] for i in sorted(found & self.biosamples.keys())]
        # a biosample may be in more studies than what was measured of it
        study_ids = _studies(self.generations[i] for i in found & self.generations.keys()) or _studies(biosamples)
        return Related(
            studies=tuple(self.studies[i] for i in sorted(study_ids & self.studies.keys())),
            biosamples=tuple(biosamples),
        )

    def _without_maker(self, objects: Sequence[Record]) -> list[str]:
        return [record["id"] for record in objects if not self.above[record["id"]]]

    def _makers(self, collection: str, products: Iterable[str]) -> list[Record]:
        """The processes of a collection that have made these."""
        wanted = set(products)
        processes = self._api.with_ids(collection, wanted, key="has_output")
        for process in processes:
            for product in wanted.intersection(texts(process.get("has_output"))):
                self.above[product].add(process["id"])
        return processes


def _studies(records: Iterable[Record]) -> set[str]:
    return {study_id for record in records for study_id in texts(record.get("associated_studies"))}
