"""The seven diagnoses of HAM10000, in the order of every probability column."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Lesion:
    """One diagnosis.

    Attributes
    ----------
    code : str
        Value of ``dx`` in the metadata.
    name : str
        Name for figures and tables.
    malignant : bool
        Malignant or precancerous (actinic keratosis counts, as in the ISIC challenges).
    tier : int
        Urgency: 0 can wait, 1 should be treated, 2 must be treated soon.

    References
    ----------
    Tschandl, Rosendahl, Kittler (2018), Scientific Data 5:180161.
    """

    code: str
    name: str
    malignant: bool
    tier: int


LESIONS = {
    lesion.code: lesion
    for lesion in (
        Lesion("akiec", "actinic keratosis", True, 1),
        Lesion("bcc", "basal cell carcinoma", True, 1),
        Lesion("bkl", "benign keratosis", False, 0),
        Lesion("df", "dermatofibroma", False, 0),
        Lesion("mel", "melanoma", True, 2),
        Lesion("nv", "nevus", False, 0),
        Lesion("vasc", "vascular lesion", False, 0),
    )
}
CLASSES = tuple(LESIONS)
MEL = CLASSES.index("mel")
PROBABILITIES = tuple(f"p_{code}" for code in CLASSES)
