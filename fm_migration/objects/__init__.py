"""The object store: open it, list it, read and write objects, and what a key says about its object.

Belongs here: everything that speaks S3, as plain functions over a boto3 client. Does not belong here: the
database, Dagster, FileMaker, or what a picture shows.
"""
