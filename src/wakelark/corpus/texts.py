"""What is said around the phrase and instead of it: carrier sentences and ordinary ones, written for wakelark."""

from __future__ import annotations

import numpy as np

CARRIERS = (
    "so, {}", "okay, {}", "um, {}", "please, {}", "well, {}", "and then {}", "right, {}", "yes, {}", "no, {}",
    "good morning, {}", "good night, {}", "so I said, {}", "excuse me, {}", "one moment, {}", "just say {}",
    "I told you, {}", "are you there, {}", "it is late, {}", "can you hear me, {}", "let me ask, {}", "she said {}",
    "listen to me, {}", "I have a question, {}", "try it again, {}", "wait a second, {}", "thank you, {}",
    "come on, {}", "what about {}", "I am talking to {}", "the kids call it {}", "wake up, {}", "now, {}",
)  # fmt: skip
"""English sentences that end with the phrase at `{}`."""

SENTENCES = (
    "turn on the kitchen light", "what time is it", "will it rain tomorrow", "set a timer for ten minutes",
    "play some quiet music", "stop the music please", "how do you spell that", "I left my keys at home",
    "the bus leaves at seven", "dinner is ready", "can you pass the salt", "we should call your mother",
    "the dog wants to go out", "did you lock the door", "I will be back in an hour", "open the window a little",
    "it is cold in here", "make the room warmer", "where did you put my glasses", "remind me to buy milk",
    "he never answers his phone", "the train was late again", "I have a meeting at nine", "do we have any bread left",
    "the children are asleep", "turn the volume down", "switch off the television", "how far is the station",
    "she plays the violin", "that film was far too long", "read me the news", "add eggs to the shopping list",
    "my brother lives in the north", "the garden needs water", "please close the door", "who is at the door",
    "I cannot find my shoes", "we are going to the beach", "the coffee is cold", "send her a short message",
    "what is on television tonight", "the shop closes at six", "he works in a hospital", "I forgot your birthday",
    "let us go for a walk", "put the dishes away", "this soup needs pepper", "the cat is on the roof",
    "is there any cake left", "wake me at half past six", "my head hurts", "the printer does not work",
    "call me when you arrive", "it was a beautiful day", "the lights went out", "how was school today",
    "we ran out of sugar", "they moved last summer", "do you like this colour", "the phone is ringing",
    "I would like some tea", "take the second street on the left", "the baby is crying", "how much does it cost",
    "nobody told me", "you look tired today", "there is a spider in the bath", "the car needs new tyres",
    "I read that book twice", "keep the change", "show me the way home", "it starts at a quarter past eight",
    "the window is broken", "we need more chairs", "try to be quiet", "that is not what I meant",
    "he is older than you think", "the river was very high", "could you repeat that", "I will think about it",
    "she bought a green coat", "the game is almost over", "hold this for a moment", "you were right about him",
    "it hurts when I laugh", "the museum is closed on Mondays", "give me the other one", "we missed the last bus",
    "cut the bread in thin slices", "my hands are freezing", "is this seat free", "the neighbours are having a party",
    "put it back on the shelf", "I have never been there", "the answer is forty two", "count from one to five",
    "next week is better for me", "who won the match", "bring an umbrella", "the water is boiling",
    "we met at a wedding", "he speaks four languages", "look at those clouds", "the bill is on the table",
    "I would rather stay here", "what a strange idea", "the stairs are slippery", "use the blue one instead",
    "they sell fresh fish", "my mother called twice", "the milk smells odd", "draw a circle around it",
    "there were too many people", "I owe you ten pounds", "the door does not close", "sing it one more time",
    "we could try the new place", "he fell off his bike", "the lesson begins now", "my battery is nearly empty",
    "follow the yellow signs", "she is my oldest friend", "leave the box outside", "the moon is full tonight",
    "wash your hands first", "how old is that tree", "I dreamed about you", "the roof is leaking again",
    "it was only a joke", "turn around slowly", "he paid in cash", "the paint is still wet",
    "we planted six roses", "nothing ever happens here", "choose a number", "the engine makes a noise",
    "go straight ahead", "my favourite song is on", "they are building a bridge", "I heard it on the radio",
    "sit down and eat", "the letter came this morning", "let me show you something", "it is not far from here",
    "the pool opens in June", "she forgot her ticket", "do not touch that", "we have been here before",
    "throw the ball to me", "the soup of the day", "a quarter of an hour", "maybe some other time",
    "yes of course", "no thank you", "all right then", "good evening everyone", "hey there", "hello again",
    "hey what is that", "okay then let us start", "excuse me where is the exit", "hey can you help me",
)  # fmt: skip
"""Short everyday English."""

_RANDOM_SENTENCES = 160
_SHORT_WORDS = 5


def sentences(language: str, *, short: bool, rng: np.random.Generator) -> list[str]:
    """Ordinary utterances in a random order, without regard to the phrase.

    Args:
        language: an espeak language; other than English gets random common words of the language.
        short: only those of at most five words, for slow engines.

    Returns:
        Empty when no word list of the language is at hand.
    """
    if language.lower().startswith("en"):
        chosen = [s for s in SENTENCES if not short or len(s.split()) <= _SHORT_WORDS]
        return [chosen[index] for index in rng.permutation(len(chosen))]
    words = common_words(language, count=2000)
    if not words:
        return []
    lengths = rng.integers(1, _SHORT_WORDS + 1 if short else 8, size=_RANDOM_SENTENCES)
    return [" ".join(words[index] for index in rng.integers(0, len(words), size=length)) for length in lengths]


def carriers(language: str) -> list[str]:
    """Sentences that end with the phrase at `{}`; for other languages than English, common words before it."""
    if language.lower().startswith("en"):
        return list(CARRIERS)
    return [f"{word}, {{}}" for word in common_words(language, count=60)]


def common_words(language: str, *, count: int) -> list[str]:
    """The most frequent words of a language, spelled with letters only; empty when there is no list of it."""
    import wordfreq

    code = language.lower().replace("_", "-").partition("-")[0]
    if code not in wordfreq.available_languages("best"):
        return []
    return [word for word in wordfreq.top_n_list(code, 2 * count) if word.isalpha()][:count]
