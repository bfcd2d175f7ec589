"""How fast a far tier in a file is, beside diskcache."""
