"""Methods: what is trained. Each file or folder here that defines `Method` is one, by its name."""

DEFAULT = "s5vh"
DEFAULT_OF_PICTURES = "csq"  # where they have labels
