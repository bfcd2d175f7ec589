"""What a process of a pool imports to raise an exception: little, so that it begins soon."""


def raise_it(error):
    raise error
