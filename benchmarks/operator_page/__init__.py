"""What the operator's page costs: opened once, and followed by a hundred browsers."""
