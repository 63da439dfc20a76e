"""What gpudesk itself keeps: pins, working sets, the journal. Plain files, written whole or not at all."""
