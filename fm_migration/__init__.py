"""Moves a clinic's photographs from FileMaker and an S3 dump into its Django app, and keeps them linked.

The packages, from the edge inwards; each may import those below it, never those above:

    cli, definitions     the two doors: a terminal and Dagster
    defs                 all that Dagster sees
    operations           what a person or an asset asks for: staging, the doctor, a rehearsal, an undo, an alert
    sources              the one door by which rows and objects come in: the export file, the bucket
    watching             what a sensor decides, and how long it waits
    explain              why a photograph shows or not
    certificate          the proof that a migration is complete
    report               findings, the page, the files
    repairs              what earlier broken runs have left, taken away
    places               which database and which object store this process works on
    embedded             the PostgreSQL, the object store and the sample clinic that need no set-up
    thumbnails           small pictures: chosen, made, judged, written into the gallery's rows
    intake               photographs brought from FileMaker, each proven before it counts
    linking              whose a photograph or a document is: planned, and kept right when patients change
    plans                the life of a plan: opened, applied, recorded, undone, pruned; by rules that domains register
    clinic               the clinic's database: contract, tables, columns that lead to patients
    ledger               our own schema: tables, migrations, identity history
    instance             what dagster.yaml names: where Dagster keeps its history and its logs
    filemaker, objects, images    the three kinds of source, each knowing nothing of the others
    database             the one way to open the clinic's database
    settings, errors, retrying    what everybody may use
"""

__version__ = "0.1.0"
