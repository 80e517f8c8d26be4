"""What an answer costs on AWS, line by line: `python -m cost`."""
