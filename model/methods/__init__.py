"""Methods: what is trained. Each file here that defines `Method` is one, by its name."""
