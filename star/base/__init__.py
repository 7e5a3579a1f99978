"""What every part uses: errors, settings, files, devices, interrupts, console and command line.

Knows nobody.
"""
