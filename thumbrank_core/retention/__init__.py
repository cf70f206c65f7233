"""What must go, and everything that goes with it: expiry and `forget` by one cascade over every store.

tables.py says what happens to each table, cascade.py does it in one transaction, expiry.py knows what is too old, pages.py
takes videos out of rendered pages, manifests.py out of the lists of what made a model, owner_files.py removes what was fitted
on one owner's figures, pictures.py deletes files, removal.py is the sequence of all of them.

What does not belong here: who may be asked for at all (config/exclusions.yaml), and models and their
figures over many channels, which stay.
"""
