"""How long a matrix product takes, what it waits for and what it moves: closed forms, without any hardware."""
