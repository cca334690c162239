"""Files in the form of C2DSR and LeCDSR to an atomic pair with ready-made splits."""
