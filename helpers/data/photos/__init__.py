"""Photos on disk: folders, decoding, checks, splitting, published sets, the cache of decoded photos."""
