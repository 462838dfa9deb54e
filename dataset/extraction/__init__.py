"""From video files to features: decoding in child processes, networks or histograms, what is finished kept at once."""
