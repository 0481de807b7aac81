"""Moves a clinic's photographs from FileMaker and an S3 dump into its Django app, and keeps them linked.

The packages, from the edge inwards; each may import those below it, never those above:

    cli, definitions     the two doors: a terminal and Dagster
    defs                 all that Dagster sees
    places               which database and which object store this process works on
    embedded             the PostgreSQL, the object store and the sample clinic that need no set-up
    instance             what dagster.yaml names: where Dagster keeps its history and its logs
    staging, thumbnails  what an asset does, callable without Dagster
    watching             what a sensor decides: a new export, new objects
    report               findings, the page, the files
    clinic               the clinic's database: contract, planning, applying
    ledger               our own schema: tables, migrations, identity history, journal
    filemaker, objects, images    the three kinds of source, each knowing nothing of the others
    mail                 sending a short text
    settings, errors, patience    what everybody may use
"""

__version__ = "0.1.0"
