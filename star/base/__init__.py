"""What every part uses: errors, settings, files, devices, interrupts, the console and the command line. Knows nobody."""
