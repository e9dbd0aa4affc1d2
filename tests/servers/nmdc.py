"""An NMDC on this machine, with a study that has everything that NMDC's records can say."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from dts_fsm.config import Secret
from dts_fsm.databases.nmdc import NmdcDatabase
from dts_fsm.testing.nmdc import NmdcService

USER, PASSWORD = "ada", "correct horse+battery/staple"
STUDY, OTHER_STUDY = "nmdc:sty-11-r2h77870", "nmdc:sty-11-34xj1150"
SOIL, WATER = "nmdc:bsm-11-6zd5nb38", "nmdc:bsm-11-ahpvvb55"
NERSC, EMSL = "https://data.microbiomedata.org/data", "https://nmdcdemo.emsl.pnnl.gov"
READS, CONTIGS, PROTEINS, SPECTRUM = (
    "nmdc:dobj-11-reads001",
    "nmdc:dobj-11-contigs1",
    "nmdc:dobj-11-prots001",
    "nmdc:dobj-12-spectrum",
)
HOSTS = {"data.microbiomedata.org/data": "tape", "nmdcdemo.emsl.pnnl.gov": "disk"}
CONTENT = {READS: b"@read\nACGT\n+\n!!!!\n", CONTIGS: b">contig\nACGT\n", PROTEINS: b">p\nMK\n", SPECTRUM: b"\0\1" * 9}

STUDIES = [
    {
        "id": STUDY,
        "type": "nmdc:Study",
        "name": "Tara Oceans",
        "title": "Tara Oceans Mediterranean Sea Expedition 2013",
        "alternative_titles": ["Tara"],
        "funding_sources": ["U.S. Department of Energy"],
        "associated_dois": [{"doi_value": "doi:10.5281/zenodo.1242459", "doi_category": "dataset_doi"}],
        "has_credit_associations": [
            {
                "applied_roles": ["Principal Investigator", "Data curation"],
                "applies_to_person": {"name": "Ada King Lovelace", "orcid": "orcid:0000-0002-1825-0097"},
            }
        ],
    },
    {"id": OTHER_STUDY, "type": "nmdc:Study", "name": "Spruce"},
]


def furnished(server: NmdcService) -> NmdcService:
    """Give the server with two studies, two biosamples and four files, one of each kind of provenance."""
    records = server.collections
    records["study_set"] += deepcopy(STUDIES)
    records["biosample_set"] += [
        {"id": SOIL, "name": "soil", "associated_studies": [STUDY], "depth": {"has_numeric_value": 0.15}},
        {"id": WATER, "name": "water", "associated_studies": [OTHER_STUDY, STUDY]},
    ]
    # two steps of processing lie between the water and what was measured of it
    records["material_processing_set"] += [
        {"id": "nmdc:extrp-11-1", "has_input": [WATER], "has_output": ["nmdc:procsm-11-1"]},
        {"id": "nmdc:libprp-11-1", "has_input": ["nmdc:procsm-11-1"], "has_output": ["nmdc:procsm-11-2"]},
    ]
    records["data_generation_set"] += [
        {
            "id": "nmdc:omprc-11-1",
            "has_input": [SOIL],
            "has_output": [READS],
            "associated_studies": [STUDY],
        },
        {
            "id": "nmdc:omprc-11-2",
            "has_input": ["nmdc:procsm-11-2"],
            "has_output": [SPECTRUM],
            "associated_studies": [STUDY],
        },
    ]
    records["workflow_execution_set"] += [
        {
            "id": "nmdc:wfmgas-11-1.1",
            "was_informed_by": "nmdc:omprc-11-1",
            "has_input": [READS],
            "has_output": [CONTIGS],
        },
        {
            "id": "nmdc:wfmgan-11-1.1",
            "was_informed_by": ["nmdc:omprc-11-1"],
            "has_input": [CONTIGS],
            "has_output": [PROTEINS],
        },
    ]
    add = server.add_file
    add(READS, f"{NERSC}/nmdc:omprc-11-1/reads.fastq.gz", CONTENT[READS], data_object_type="Metagenome Raw Reads")
    add(CONTIGS, f"{NERSC}/nmdc:omprc-11-1/nmdc:wfmgas-11-1.1//contigs.fna", CONTENT[CONTIGS])
    add(
        PROTEINS,
        f"{NERSC}/nmdc:omprc-11-1/nmdc:wfmgan-11-1.1/proteins.faa",
        CONTENT[PROTEINS],
        was_generated_by="nmdc:wfmgan-11-1.1",
    )
    add(SPECTRUM, f"{EMSL}/nom/raw/a%20spectrum.raw", CONTENT[SPECTRUM], was_generated_by="nmdc:omprc-11-2")
    return server


def database(server: NmdcService, **changed: Any) -> NmdcDatabase:
    """Give a database that asks this server."""
    arguments: dict[str, Any] = {
        "name": "nmdc",
        "user": USER,
        "password": Secret(PASSWORD),
        "endpoint_names": ["tape", "disk"],
        "hosts": HOSTS,
        "url": server.url,
    }
    return NmdcDatabase(**arguments | changed)
