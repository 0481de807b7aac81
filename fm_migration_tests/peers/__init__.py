"""Programs of other people that our work is judged by: here the clinic's Django app, as a small one of our own.

Belongs here: the Django project `clinic_site/`, which runs only in processes of its own, and `gallery.py`, the
way for a test to talk to it. Does not belong here: anything of `fm_migration`, which a judge must not borrow.
"""
