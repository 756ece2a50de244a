//! Names for people who do not exist.
//!
//! Owns the lists. Any likeness is chance; the domain is reserved for examples (RFC 2606).

pub(super) const GIVEN: &[&str] = &[
    "Amara",
    "Aylin",
    "Benedikt",
    "Bo",
    "Camille",
    "Chidi",
    "Dagny",
    "Davor",
    "Elif",
    "Esteban",
    "Farah",
    "Fergus",
    "Greta",
    "Hanae",
    "Hugo",
    "Imani",
    "Ines",
    "Jonas",
    "Kaja",
    "Kenji",
    "Leila",
    "Lennart",
    "Mairead",
    "Mateo",
    "Mei",
    "Nadia",
    "Nils",
    "Oksana",
    "Oluwaseun",
    "Paloma",
    "Priya",
    "Quentin",
    "Rafael",
    "Ruth",
    "Sanna",
    "Sione",
    "Tamsin",
    "Tomasz",
    "Ulla",
    "Viktor",
    "Wanjiru",
    "Xiulan",
    "Yusuf",
    "Zofia",
];

pub(super) const FAMILY: &[&str] = &[
    "Abara",
    "Adeyemi",
    "Almeida",
    "Bergstrom",
    "Brandt",
    "Castellano",
    "Chowdhury",
    "Dubois",
    "Eriksen",
    "Fairweather",
    "Ferreira",
    "Gallagher",
    "Haddad",
    "Hoffmann",
    "Ibrahim",
    "Ivanova",
    "Jansen",
    "Kaminski",
    "Kapoor",
    "Kowalczyk",
    "Laurent",
    "Lindqvist",
    "MacLeod",
    "Moreau",
    "Nakamura",
    "Nguyen",
    "Obi",
    "Okafor",
    "Petrov",
    "Quispe",
    "Rahman",
    "Rossi",
    "Sato",
    "Schaefer",
    "Silva",
    "Tanaka",
    "Thorne",
    "Ueda",
    "Vargas",
    "Weiss",
    "Yilmaz",
    "Zhang",
];

/// Department, titles in it, and where most of its people sit.
pub(super) const DEPARTMENTS: &[(&str, &[&str], &str)] = &[
    (
        "Engineering",
        &["Engineer", "Senior Engineer", "Platform Engineer"],
        "Europe/Berlin",
    ),
    (
        "Sales",
        &["Account Executive", "Sales Manager", "Sales Engineer"],
        "America/New_York",
    ),
    (
        "Support",
        &["Support Agent", "Support Lead"],
        "Australia/Melbourne",
    ),
    ("Finance", &["Accountant", "Controller"], "Europe/London"),
    ("People", &["Recruiter", "People Partner"], "Europe/Berlin"),
    ("Legal", &["Counsel", "Paralegal"], "Europe/London"),
];

/// Books invoices, and so has a row in the payroll.
pub(super) const INVOICES: &str = "svc-invoice-bot";

/// Reads the wiki for the search engine, and is never retired: however small the company is, no list
/// that a leaver is taken out of runs empty.
pub(super) const INDEXER: &str = "svc-wiki-indexer";

/// Service accounts: login and purpose.
pub(super) const SERVICES: &[(&str, &str)] = &[
    ("svc-report-nightly", "Nightly revenue report"),
    ("svc-crm-sync", "Copies contacts to the newsletter"),
    (INVOICES, "Books incoming invoices"),
    (INDEXER, "Feeds the search engine"),
];
