"""Skin-lesion classification on HAM10000: what the notebooks share, one noun a module.

From the ground up; a module imports only from those before it. ``head -1 helpers/*.py`` says in a line what each is.

    ground:       paths commands progress lesions generators presets results
    phantom:      artefacts dermatoscope phantom
    data:         cache pictures download generated intake data quality shortcut duplicates splits
    scores:       intervals metrics calibration thresholds curves slider
    training:     weights runs opponents augment losses models learner
    generator:    vae latent cvae fidelity synthesis
    runs:         train study studio
    explanation:  gradcam rivals saliency segment audit trial
    report:       typeset plots appendix prose report readme
    commands:     neardup headless lab
"""
