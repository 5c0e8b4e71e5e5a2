"""Pairs of patterns over lines that one character must not say both of.

Written from the sentences, not from the tags of the trait bank, so that a forgotten tag shows.
Contradictions that are the joke of a line (the vegetarian butcher) are left out of the patterns.
"""

from __future__ import annotations

MEAT = r"steak|sausage for|walk ten miles|hot dog contest"
ANIMAL_FOOD = r"cheese at midnight|best pancakes|forty-one pancakes|only holds cheese|lasagna"
WORKING = (
    r"^I am a (baker|butcher|carpenter|nurse|firefighter|librarian|judge|dentist|plumber|barber)"
)
HAS_SIBLINGS = r"[Mm]y (big |little |older )?(sister|brother)|brothers and|sisters|a twin|nephew"
HAS_CHILDREN = r"[Mm]y (son|daughter)\b|sons|two kids|five children|a parent last month|two girls"
HAS_PARTNER = r"[Mm]y (wife|husband|boyfriend|girlfriend|in-laws)|am engaged|married for fifty"
YOUNG = r"^I am twenty-"
OLD = r"^I am (sixty|seventy|eighty)-|[Rr]etired|grandchildren|granddaughter|turned sixty"
CITIES = (
    "Lisbon|Glasgow|Nairobi|Osaka|Montreal|Mexico City|Naples|Bergen|Mumbai|Melbourne|Warsaw|"
    "Istanbul|Buenos Aires|Accra|Hanoi|New Orleans|Amsterdam|Cairo"
)
LANDLOCKED = r"edge of the desert|high in the mountains|cabin in the woods|parked by a lake"
SEA_WORK = r"keep a lighthouse|am a fisherman|farm oysters|teach surfing|the harbor$|the harbor\."
SWIMS = (
    r"teach grown-ups to swim|am a lifeguard|cold lakes|surf badly|taught me to swear|teach surf"
)
CANNOT_SWIM = r"none of us can swim|learn to swim before"
DRIVERS = (
    r"^I drive (a (night bus|taxi|truck)|the yellow|an (ambulance|ice cream))|how to drive|"
    r"pink truck"
)
OWNS_CAR = r"[Mm]y (own )?car\b"
NEVER_DRIVES = r"never learned to drive|failed my driving test because"
NIGHT = (
    r"night bus|night shift|open all night|the night porter|jazz club|when it is dark|night market"
)
HIGH_WORK = (
    r"fix roofs|tallest crane|climb trees for|high wire|very tall buildings|high mountains\."
)
HAS_CAT = r"[Mm]y (black |old |one-eyed )?cat\b|(two|three) cats|A cat moved in"
HAS_DOG = (
    r"[Mm]y (old |sausage )?dog\b|two dogs|adopted a dog|greyhound|[Tt]he dog\b(?! (next|lives))"
)
HAS_BIRD = r"[Mm]y parrot|canary|budgies|\bhens?\b|I have a duck|goose, Margaret"
NO_PETS = r"I have no pets?\b|cannot have pets|allergic to (cats|dogs)"
GARDEN_ANIMAL = r"hens|My hen|goose, Margaret|horse called|My donkey|My goat|a pig named|tortoise"
NO_GARDEN = (
    r"houseboat|in a van|ninth floor|share a flat|in a basement|live in Warsaw|so small that"
)
ATTIC = r"attic|garage|My front door sticks"
SMALL_HOME = r"houseboat|in a van with|so small that I open|tiny house on wheels"

CONTRADICTIONS = [
    (r"\b(am|been) (vegetarian|vegan)\b", MEAT),
    (r"\b(am|been) (vegetarian|vegan)\b", r"sell fish|make sushi|farm oysters|Fish on Friday"),
    (r"\bam vegan\b", ANIMAL_FOOD),
    (
        r"\bam vegan\b",
        r"goat cheese|forty cows|ice cream van|a butcher|sell the honey|raise snails",
    ),
    (r"do not drink alcohol", r"brew|red wine|dark beer|make wine|read wine lists"),
    (r"do not drink coffee", r"cups of coffee|roast coffee|in my coffee"),
    (r"spicier than milk", r"spice shop|curry|bean chili"),
    (r"[Rr]etired", WORKING),
    (r"[Rr]etired", r"^I study|first year|my boss|job(s)? online"),
    (r"[Rr]etired", YOUNG + "|^I turned (thirty|forty)"),
    (
        r"^I study (medicine|law|physics|history|philosophy|the trumpet)",
        r"grandchildren|[Rr]etired",
    ),
    (r"^I study (medicine|law|physics|history|philosophy|the trumpet)", HAS_CHILDREN),
    (r"only child", HAS_SIBLINGS),
    (r"have a twin", r"only child|brothers|sisters|middle one of seven"),
    (r"have no children", HAS_CHILDREN + "|grandchildren|granddaughter"),
    (r"am single", HAS_PARTNER),
    (r"[Mm]y wife", r"[Mm]y (husband|boyfriend|girlfriend)|am engaged|am single|got divorced"),
    (
        r"live alone|set the table for one",
        r"[Mm]y (wife|husband|in-laws)\b|married for fifty|" + HAS_CHILDREN,
    ),
    (r"in a van with|walk across the country", HAS_CHILDREN + "|with my grandmother, and"),
    (r"with my parents again", HAS_CHILDREN + r"|[Mm]y (wife|husband)\b|raised by"),
    (
        r"orphanage",
        r"[Mm]y (mother|father|dad|parents|grandmother|grandfather)|grandfather's|uncle's",
    ),
    (YOUNG, HAS_CHILDREN + "|" + OLD + "|got divorced"),
    (YOUNG, r"heart surgeon|a judge|the mayor|head of a noisy|am a midwife|a dentist|a lawyer"),
    (OLD, r"[Mm]y mother (calls|has)|with my parents|grandmother is ninety|a parent last month"),
    (OLD, r"stunt double|ballet|ski downhill|fix roofs|surf badly|bike courier"),
    (r"^I am (seventy|eighty|sixty)-", r"^I turned|^I am (twenty|thirty|forty|fifty)-"),
    (r"small rocky island", r"\bI live (in|on|next|under|above|at|high)|neighbor|in the suburbs"),
    (rf"I live in ({CITIES})", r"island with|[Mm]y village|a village with|desert|in the mountains"),
    (rf"I live in ({CITIES})", r"forty cows|count moose|ski lift|campsite|small rocky island"),
    (LANDLOCKED, SEA_WORK),
    (LANDLOCKED, rf"I live in ({CITIES})|so near the sea|an island with"),
    (r"on a houseboat", r"desert|hates boats|a pig named|horse called"),
    (
        r"never seen the sea",
        SEA_WORK + r"|near the sea|an island with|cruise ship|Lisbon|Naples|navy",
    ),
    (r"see snow once", r"ski lift|Montreal|pulled by eleven|reindeer|South Pole|Christmas trees"),
    (CANNOT_SWIM, SWIMS + "|navy"),
    (NEVER_DRIVES, DRIVERS + "|" + OWNS_CAR + "|learned to drive at nine|worst passenger"),
    (NIGHT, r"early bird|run every morning|at the same time as my grandmother"),
    (
        r"three in the morning|leave the harbor at four|forty cows|opens at dawn",
        r"night owl|useless at",
    ),
    (
        r"terrified of heights",
        HIGH_WORK + "|hot air balloon|in a balloon|ninth floor|climb trees|rock climbing|stilts",
    ),
    (r"scared of flying", r"fly a small plane|flight attendant|hot air balloon|love airports"),
    (r"Birds frighten", HAS_BIRD + "|count birds|watch birds|penguins|race pigeons|feed the ducks"),
    (r"scared of clowns", r"am a clown|for a circus|in a circus"),
    (r"hate balloons", r"sell balloons|hot air balloon|in a balloon"),
    (r"allergic to cats", HAS_CAT + "|private detective"),
    (r"allergic to dogs", HAS_DOG + "|nine dogs|fancy dogs|police dogs|pulled by eleven"),
    (r"allergic to fur", HAS_CAT + "|" + HAS_DOG + "|rabbit (called|eats)|hamster"),
    (r"allergic to nuts", r"feed her nuts"),
    (
        NO_PETS,
        HAS_CAT
        + "|"
        + HAS_DOG
        + "|"
        + HAS_BIRD
        + "|[Mm]y goldfish|[Mm]y turtle|tarantula|my rabbit",
    ),
    (HAS_CAT, r"half the year at the South Pole|crew of a submarine|on a cruise ship"),
    (GARDEN_ANIMAL, NO_GARDEN),
    (r"grow giant pumpkins|weeds|my tomato wins", NO_GARDEN + "|desert"),
    (ATTIC, SMALL_HOME + "|ninth floor|share a flat|in a basement"),
    (r"no quiet room|five children|teach the tuba|sofa is hers", SMALL_HOME),
    (
        r"I use a wheelchair",
        r"marathons|ninety-one stairs|ninth floor|houseboat|^I ski|tango|salsa|^I hike",
    ),
    (r"am completely bald", r"red hair|silver hair|gray hair"),
    (r"do not own a phone", r"dropped my phone|my own phone|phone rings|emojis|two phones"),
    (r"since it fell on my foot", r"soap opera|cooking shows|at commercials"),
    (r"cannot whistle", r"I can whistle|learned to whistle|whistle in tunnels|blow a whistle"),
    (r"only wear green", r"wear white|love purple"),
    (r"have no tattoos", r"a tattoo (of|with)"),
    (r"Mushrooms scare", r"grow mushrooms"),
    (r"never been on a plane", r"clap when the plane|missed a flight|love airports"),
    (r"never left my own country", r"another country|two countries|passport on"),
]
