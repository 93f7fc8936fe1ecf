"""What we talk about: values.  No threads, no operating system, nothing of ours below."""
