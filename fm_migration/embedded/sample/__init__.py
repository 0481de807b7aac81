"""A clinic that does not exist, in any size, with the mess of a real one in known amounts.

Belongs here: designing it (`plan`, pure), drawing its photographs (`pictures`), saying what is right
(`truth`), putting it into a database and a bucket (`build`), and playing the clinic's re-import of
patients (`reimport`). Does not belong here: starting servers, and anything that production needs.
All people, ids and photographs are invented.
"""
