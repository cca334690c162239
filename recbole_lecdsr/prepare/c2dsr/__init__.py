"""Files in the format of C2DSR and LeCDSR come in; an atomic pair with ready-made splits and windows goes out."""
