"""Headers that shops' exports use for the columns of an invoice line, in the languages that were seen."""

import re

HEADERS = {
    "invoice_no": (
        "invoice", "invoice no", "invoice number", "invoice id", "invoice nr", "order id", "order number", "order no",
        "order nr", "order ref", "order reference", "order name", "order", "order increment id", "increment id",
        "sales order", "document number", "document no", "receipt number", "receipt no", "receipt", "receipt id",
        "transaction id", "transaction number", "bill no", "bill number", "ticket", "belegnummer", "beleg nr",
        "rechnungsnummer", "rechnungs nr", "rechnung", "bestellnummer", "bestell nr", "bestellung", "auftragsnummer",
        "facture", "numero facture", "num facture", "commande", "numero commande", "factura", "numero factura",
        "pedido", "fattura", "ordine", "factuurnummer", "ordernummer", "bestelnummer",
        "fakturanummer", "faktura", "ordrenummer", "numer zamówienia", "zamówienie", "numer faktury", "fatura",
    ),
    "stock_code": (
        "stock code", "sku", "item sku", "lineitem sku", "product sku", "product code", "product id", "item code",
        "item id", "item number", "item no", "article", "article number", "article no", "article code", "part number",
        "variant sku", "ean", "upc", "barcode", "artikelnummer", "artikel nr", "artikelcode", "art nr", "reference",
        "ref", "code article", "reference produit", "codigo", "codigo producto", "referencia", "codice", "plu",
        "artikelnr", "varenummer", "varenr", "kod produktu", "código",
    ),
    "description": (
        "description", "product name", "item name", "lineitem name", "product title", "product description", "product",
        "item", "item description", "title", "name", "bezeichnung", "artikelbezeichnung", "artikelname", "artikel",
        "produkt", "produktname", "beschreibung", "designation", "libelle", "produit", "article description",
        "descripcion", "producto", "descrizione", "prodotto", "omschrijving", "productnaam",
        "benämning", "artikelnamn", "varenavn", "beskrivning", "beskrivelse", "nazwa", "nazwa produktu", "produkty",
        "descrição", "descricao", "produto",
    ),
    "quantity": (
        "quantity", "qty", "qty ordered", "quantity ordered", "ordered qty", "item quantity", "lineitem quantity",
        "item qty", "units", "units sold", "pieces", "pcs", "count", "menge", "anzahl", "stueck", "stück", "stueckzahl",
        "quantite", "quantité", "qte", "cantidad", "unidades", "quantita", "quantità", "aantal",
        "antal", "antall", "ilość", "ilosc", "sztuk", "quantidade", "qtd",
    ),
    "invoice_ts": (
        "invoice date", "invoice ts", "invoice timestamp", "invoice time", "order date", "order timestamp",
        "ordered at", "order created at", "created at", "created", "date created", "created on", "purchase date",
        "purchase timestamp", "purchased on", "purchased at", "transaction date", "sale date", "sales date", "date",
        "datetime", "date time", "timestamp", "paid at", "posting date", "datum", "rechnungsdatum", "belegdatum",
        "bestelldatum", "auftragsdatum",
        "kaufdatum", "date facture", "date commande", "fecha", "fecha factura", "fecha pedido", "data", "data ordine",
        "factuurdatum", "orderdatum", "besteldatum", "fakturadatum", "ordredato", "fakturadato", "dato",
        "data zamówienia", "data sprzedaży", "data faktury", "data pedido",
    ),
    "unit_price": (
        "unit price", "price", "price per unit", "price each", "item price", "item cost", "lineitem price",
        "product price", "selling price", "sale price", "sales price", "net price", "einzelpreis", "stückpreis",
        "stueckpreis", "preis", "verkaufspreis", "vk preis", "preis pro stück", "prix", "prix unitaire", "precio",
        "precio unitario", "prezzo", "prezzo unitario", "prijs", "stukprijs", "eenheidsprijs",
        "pris", "á pris", "a pris", "styckpris", "stykpris", "enhetspris", "enhedspris", "cena", "cena jednostkowa",
        "preço", "preco", "preço unitário", "rate", "unit rate",
    ),
    "customer_id": (
        "customer id", "customer", "customer no", "customer number", "customer code", "customer email", "email",
        "billing email", "e mail", "customer ref", "client id", "client", "buyer", "buyer id", "user id", "account id",
        "account", "member id", "kunde", "kundennummer", "kunden nr", "kunden id", "kundenemail", "id client",
        "code client", "numero client", "cliente", "id cliente", "klant", "klantnummer", "shopper id",
        "kundnummer", "kundenummer", "kundnr", "klient", "id klienta", "party",
    ),
    "country": (
        "country", "billing country", "shipping country", "country code", "country name", "billing country id",
        "country id", "ship country", "customer country", "land", "lieferland", "rechnungsland", "pays", "pais", "país",
        "paese", "kraj",
    ),
}  # fmt: skip
"""Our column -> headers, the likeliest first; in any case, whatever stands between the words."""

STATUS = ("financial status", "order status", "status", "state", "payment status", "bestellstatus", "statut")
CANCELLED = (
    "cancelled", "canceled", "voided", "refunded", "failed", "returned", "wc cancelled", "wc refunded", "wc failed",
    "storniert", "annulé", "annule", "cancelado", "annullato", "geannuleerd",
)  # fmt: skip
REFUNDS = ("refunded amount", "amount refunded", "refund amount", "refund", "refunds", "refund total", "erstattung")
CURRENCY = ("currency", "order currency", "currency code", "order currency code", "waehrung", "währung", "devise")


def letters(header: str) -> str:
    """A header without what stands between its words."""
    return re.sub(r"[\W_]+", "", header).casefold()


_BY_LETTERS = {letters(header): column for column, headers in HEADERS.items() for header in headers}
_RANK = {letters(header): rank for headers in HEADERS.values() for rank, header in enumerate(headers)}


def column_of(header: str) -> str | None:
    """The column that a header usually stands for; None for one that is not known."""
    return _BY_LETTERS.get(letters(header))


def rank(header: str) -> int:
    """How likely a known header is the one that is meant, the likeliest 0."""
    return _RANK[letters(header)]


def first_of(headers: tuple[str, ...], names: tuple[str, ...]) -> str | None:
    """The first of the names that a file has, as it is written there."""
    written = {letters(header): header for header in headers}
    return next((written[letters(name)] for name in names if letters(name) in written), None)
