"""The reliability campaign: commands killed, stopped and misled at random; docs/reliability.md."""
