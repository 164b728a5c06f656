// SPDX-License-Identifier: AGPL-3.0-or-later
//! The supervisory authorities of the EU and the EEA (Article 51 GDPR), known offline: to whom people may complain.

/// A supervisory authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority {
    /// Its country (ISO 3166-1, two letters).
    pub country: &'static str,
    /// What it is called.
    pub name: &'static str,
    /// Where it is found.
    pub website: &'static str,
}

/// The one that is meant when nobody chose another.
pub const PRESET: &str = "NL";

const fn authority(country: &'static str, name: &'static str, website: &'static str) -> Authority {
    Authority { country, name, website }
}

/// All of them, by country. Where a country has several, the one of the whole country.
pub const ALL: [Authority; 30] = [
    authority("AT", "Österreichische Datenschutzbehörde", "https://www.dsb.gv.at"),
    authority(
        "BE",
        "Gegevensbeschermingsautoriteit / Autorité de protection des données",
        "https://www.dataprotectionauthority.be",
    ),
    authority("BG", "Комисия за защита на личните данни", "https://www.cpdp.bg"),
    authority("CY", "Γραφείο Επιτρόπου Προστασίας Δεδομένων Προσωπικού Χαρακτήρα", "https://www.dataprotection.gov.cy"),
    authority("CZ", "Úřad pro ochranu osobních údajů", "https://www.uoou.gov.cz"),
    authority(
        "DE",
        "Die Bundesbeauftragte für den Datenschutz und die Informationsfreiheit",
        "https://www.bfdi.bund.de",
    ),
    authority("DK", "Datatilsynet", "https://www.datatilsynet.dk"),
    authority("EE", "Andmekaitse Inspektsioon", "https://www.aki.ee"),
    authority("ES", "Agencia Española de Protección de Datos", "https://www.aepd.es"),
    authority("FI", "Tietosuojavaltuutetun toimisto", "https://tietosuoja.fi"),
    authority("FR", "Commission nationale de l'informatique et des libertés", "https://www.cnil.fr"),
    authority("GR", "Αρχή Προστασίας Δεδομένων Προσωπικού Χαρακτήρα", "https://www.dpa.gr"),
    authority("HR", "Agencija za zaštitu osobnih podataka", "https://azop.hr"),
    authority("HU", "Nemzeti Adatvédelmi és Információszabadság Hatóság", "https://www.naih.hu"),
    authority("IE", "Data Protection Commission", "https://www.dataprotection.ie"),
    authority("IS", "Persónuvernd", "https://www.personuvernd.is"),
    authority("IT", "Garante per la protezione dei dati personali", "https://www.garanteprivacy.it"),
    authority("LI", "Datenschutzstelle", "https://www.datenschutzstelle.li"),
    authority("LT", "Valstybinė duomenų apsaugos inspekcija", "https://vdai.lrv.lt"),
    authority("LU", "Commission nationale pour la protection des données", "https://cnpd.public.lu"),
    authority("LV", "Datu valsts inspekcija", "https://www.dvi.gov.lv"),
    authority("MT", "Office of the Information and Data Protection Commissioner", "https://idpc.org.mt"),
    authority("NL", "Autoriteit Persoonsgegevens", "https://www.autoriteitpersoonsgegevens.nl"),
    authority("NO", "Datatilsynet", "https://www.datatilsynet.no"),
    authority("PL", "Urząd Ochrony Danych Osobowych", "https://uodo.gov.pl"),
    authority("PT", "Comissão Nacional de Proteção de Dados", "https://www.cnpd.pt"),
    authority(
        "RO",
        "Autoritatea Națională de Supraveghere a Prelucrării Datelor cu Caracter Personal",
        "https://www.dataprotection.ro",
    ),
    authority("SE", "Integritetsskyddsmyndigheten", "https://www.imy.se"),
    authority("SI", "Informacijski pooblaščenec", "https://www.ip-rs.si"),
    authority("SK", "Úrad na ochranu osobných údajov", "https://dataprotection.gov.sk"),
];

/// The authority of a country.
pub fn of(country: &str) -> Option<Authority> {
    ALL.into_iter().find(|authority| authority.country == country)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_country_of_the_eu_and_the_eea_has_one() {
        let countries: Vec<_> = ALL.iter().map(|authority| authority.country).collect();
        let expected = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK";
        assert_eq!(countries.join(" "), expected);
        assert!(ALL.iter().all(|authority| authority.website.starts_with("https://")));
        assert!(of(PRESET).is_some() && of("XX").is_none());
    }
}
