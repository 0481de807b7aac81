"""The PostgreSQL, the object store and the sample clinic that need no set-up: for the demo, development and tests.

    stack           what a process calls: makes sure that the servers run, for as long as it lives
    keeper          the one process that owns both servers and ends with their last user
    postgres        a PostgreSQL out of a wheel
    server_place    where that one lies, and as whom it runs when root starts it
    object_server   an S3 server out of a wheel
    sample          the invented clinic that the servers are filled with

Does not belong here: anything that production needs. With FM_DATABASE_URL and FM_OBJECTS_URL set, nothing of this
package is imported.
"""
