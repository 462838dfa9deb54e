"""Files: written whole or not at all, locked, and checked before they are read.

Every file of the project is written through `writing.whole_file`. One that is read may hold anything: readers turn
whatever the libraries raise at it into a `UserError` of one line, and `hdf5` and `mat` refuse what would crash or hang
the libraries themselves, or fill the memory. `python -m tests.fuzz` holds them to it. What stays is the libraries' own:
damage at which HDF5 or scipy crash or hang while they open a file (a broken global heap, say) ends the process.
"""
