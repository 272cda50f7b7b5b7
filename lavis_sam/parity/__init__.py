"""Parity: is this model the authors' model, number by number, on stored results of their code?"""
