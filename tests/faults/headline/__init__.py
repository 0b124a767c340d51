"""The headline: thousands of jobs through a farm whose every part is killed at random, and the proof that none was lost or doubled."""
