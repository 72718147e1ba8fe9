"""The words that protocols and core share: names, commands, replies, refusals."""
