"""The claims of Mickus and Vázquez (2023), checked on small translation models trained here."""
