"""An index of any size: a folder of segments that are mapped, not read, and a manifest that is swapped whole.

`index`: what users of it call; `manifest`: which segments there are; `segment`: the files of one; `ids`: its ids.
"""
