"""Moves a clinic's photographs from FileMaker and an S3 dump into its Django app, and keeps them linked.

The packages, from the edge inwards; each may import those below it, never those above:

    cli, definitions     the two doors: a terminal and Dagster
    defs                 all that Dagster sees
    places               which database and which object store this process works on
    embedded             the PostgreSQL, the object store and the sample clinic that need no set-up
    instance             what dagster.yaml names: where Dagster keeps its history and its logs
    undoing              any plan taken back, for a person
    staging, thumbnails  what an asset does, callable without Dagster
    watching             what a sensor decides: a new export, new objects
    report               findings, the page, the files
    repairs              what earlier broken runs have left, taken away
    linking              whose a photograph or a document is: planned, led along when patients change
    plans                the life of a plan: opened, applied, recorded, undone, pruned; by rules that domains register
    clinic               the clinic's database: contract, tables, columns that lead to patients
    ledger               our own schema: tables, migrations, identity history
    filemaker, objects, images    the three kinds of source, each knowing nothing of the others
    mail                 sending a short text
    settings, errors, patience    what everybody may use
"""

__version__ = "0.1.0"
