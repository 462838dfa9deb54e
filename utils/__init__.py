"""Config loading, files, run directories, seeding, clustering and the hash-centre solver."""
