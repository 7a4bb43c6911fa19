"""The words that documents are printed with, in the four languages that sellers in Portugal write to buyers in."""

from __future__ import annotations

from typing import Literal

from .trades import DocumentLanguage

DocumentKind = Literal["invoice", "simplified invoice", "invoice-receipt", "receipt", "credit note"]
Wordings = dict[str, tuple[str, ...]]

CODES: dict[DocumentKind, str] = {
    "invoice": "FT", "simplified invoice": "FS", "invoice-receipt": "FR", "receipt": "RG", "credit note": "NC",
}  # fmt: skip
TITLES: dict[DocumentLanguage, dict[DocumentKind, str]] = {
    "pt": {
        "invoice": "Fatura", "simplified invoice": "Fatura Simplificada", "invoice-receipt": "Fatura-Recibo",
        "receipt": "Recibo", "credit note": "Nota de Crédito",
    },
    "en": {"invoice": "Invoice", "credit note": "Credit Note", "receipt": "Receipt"},
    "es": {"invoice": "Factura", "credit note": "Nota de crédito", "receipt": "Recibo"},
    "fr": {"invoice": "Facture", "credit note": "Avoir", "receipt": "Reçu"},
}  # fmt: skip
LABELS: dict[DocumentLanguage, Wordings] = {
    "pt": {
        "buyer": ("Cliente", "Exmo.(s) Sr.(s)", "Faturado a", "Adquirente"),
        "seller_nif": ("NIF", "Contribuinte n.º", "NIPC"),
        "buyer_nif": ("NIF", "Contribuinte n.º", "V/ contribuinte"),
        "phone": ("Tel.", "Telefone"),
        "number": ("N.º", "Documento n.º", "Número"),
        "date": ("Data", "Data de emissão", "Emitido em"),
        "time": ("Hora", "Hora de emissão"),
        "due": ("Vencimento", "Data de vencimento", "Pagar até"),
        "order": ("V/ encomenda", "Nota de encomenda", "Requisição"),
        "corrected": ("Referente à fatura", "Retifica a fatura", "Documento de origem"),
        "settled": ("Fatura liquidada", "Liquida a fatura", "Documento pago"),
        "reason": ("Motivo", "Motivo da retificação"),
        "gross": ("Total ilíquido", "Mercadoria e serviços", "Soma"),
        "discount": ("Descontos", "Desconto", "Total de descontos"),
        "subtotal": ("Total sem IVA", "Total líquido", "Incidência total"),
        "tax": ("IVA", "Total de IVA", "Valor do IVA"),
        "total": ("Total", "Total a pagar", "Total do documento"),
        "iban": ("IBAN", "Pagamento por transferência, IBAN"),
        "method": ("Pagamento", "Modo de pagamento", "Forma de pagamento"),
        "exemption": ("Motivo da isenção", "Isenção de IVA"),
        "rates": ("Resumo do IVA", "Quadro de impostos", "IVA incluído"),
        "rate": ("Taxa", "IVA %", "% IVA"), "base": ("Incidência", "Base"), "vat": ("IVA", "Valor do IVA"),
        "exempt": ("Isento",),
        "code": ("Artigo", "Ref.", "Código"), "item": ("Descrição", "Designação"), "quantity": ("Qtd.", "Quant."),
        "unit": ("Un.",), "price": ("Preço", "Preço unit.", "P. unit."), "cut": ("Desc.",),
        "value": ("Valor", "Total"),
        "paid": ("Valor pago",), "page": ("Página", "Pág."), "note": ("Guia de remessa",),
        "processed": ("Processado por programa certificado n.º",), "made": ("Emitido por programa certificado n.º",),
        "total of receipt": ("Valor recebido", "Total recebido", "Recebemos"),
        "total of credit": ("Total a creditar", "Total do crédito", "Total"),
    },
    "en": {
        "buyer": ("Bill to", "Customer", "Sold to"), "seller_nif": ("VAT no.", "Tax ID"),
        "buyer_nif": ("VAT no.", "Customer tax ID"), "phone": ("Phone", "Tel."), "number": ("No.", "Document no."),
        "date": ("Date", "Issue date"), "time": ("Time",), "due": ("Due date", "Payment due", "Pay by"),
        "order": ("Your order", "PO number"), "corrected": ("Corrects invoice", "Original invoice"),
        "settled": ("Invoice settled", "Pays invoice"), "reason": ("Reason",), "gross": ("Goods total", "Gross total"),
        "discount": ("Discount", "Less discounts"), "subtotal": ("Subtotal", "Net total"), "tax": ("VAT", "Total VAT"),
        "total": ("Total", "Amount due", "Total due"), "iban": ("IBAN", "Bank transfer to IBAN"),
        "method": ("Payment", "Payment method"), "exemption": ("VAT exemption", "Reason for exemption"),
        "rates": ("VAT summary",), "rate": ("Rate",), "base": ("Net",), "vat": ("VAT",), "exempt": ("Exempt",),
        "code": ("Item", "Ref."), "item": ("Description",), "quantity": ("Qty",), "unit": ("Unit",),
        "price": ("Price", "Unit price"), "cut": ("Disc.",), "value": ("Amount", "Line total"), "paid": ("Paid",),
        "page": ("Page",), "note": ("Delivery note",), "processed": ("Issued by certified software no.",),
        "made": ("Issued by certified software no.",), "total of receipt": ("Amount received", "Received"),
        "total of credit": ("Total credit", "Credit total"),
    },
    "es": {
        "buyer": ("Cliente", "Facturar a"), "seller_nif": ("NIF",), "buyer_nif": ("NIF", "NIF del cliente"),
        "phone": ("Teléfono", "Tel."), "number": ("N.º", "Número"), "date": ("Fecha", "Fecha de emisión"),
        "time": ("Hora",), "due": ("Vencimiento", "Fecha de vencimiento"), "order": ("Su pedido", "Pedido"),
        "corrected": ("Rectifica la factura",), "settled": ("Factura pagada",), "reason": ("Motivo",),
        "gross": ("Importe bruto",), "discount": ("Descuento",), "subtotal": ("Base imponible", "Subtotal"),
        "tax": ("IVA", "Cuota de IVA"), "total": ("Total", "Total a pagar"), "iban": ("IBAN", "Transferencia al IBAN"),
        "method": ("Pago", "Forma de pago"), "exemption": ("Exención de IVA",), "rates": ("Resumen de IVA",),
        "rate": ("Tipo",), "base": ("Base",), "vat": ("Cuota",), "exempt": ("Exento",), "code": ("Ref.", "Código"),
        "item": ("Descripción", "Concepto"), "quantity": ("Cant.",), "unit": ("Ud.",), "price": ("Precio",),
        "cut": ("Dto.",), "value": ("Importe",), "paid": ("Pagado",), "page": ("Página",), "note": ("Albarán",),
        "processed": ("Emitido por programa certificado n.º",), "made": ("Emitido por programa certificado n.º",),
        "total of receipt": ("Importe recibido",), "total of credit": ("Total del abono",),
    },
    "fr": {
        "buyer": ("Client", "Facturé à"), "seller_nif": ("N° de TVA",), "buyer_nif": ("N° de TVA", "TVA client"),
        "phone": ("Tél.",), "number": ("N°", "Numéro"), "date": ("Date", "Date d'émission"), "time": ("Heure",),
        "due": ("Échéance", "À payer avant le"), "order": ("Votre commande",), "corrected": ("Rectifie la facture",),
        "settled": ("Facture réglée",), "reason": ("Motif",), "gross": ("Total brut",), "discount": ("Remise",),
        "subtotal": ("Total HT",), "tax": ("TVA", "Total TVA"), "total": ("Total TTC", "Net à payer"),
        "iban": ("IBAN", "Virement à l'IBAN"), "method": ("Règlement",), "exemption": ("Exonération de TVA",),
        "rates": ("Détail de la TVA",), "rate": ("Taux",), "base": ("Base",), "vat": ("TVA",), "exempt": ("Exonéré",),
        "code": ("Réf.",), "item": ("Désignation",), "quantity": ("Qté",), "unit": ("Unité",),
        "price": ("Prix unit.",),
        "cut": ("Rem.",), "value": ("Montant",), "paid": ("Payé",), "page": ("Page",), "note": ("Bon de livraison",),
        "processed": ("Émis par logiciel certifié n°",), "made": ("Émis par logiciel certifié n°",),
        "total of receipt": ("Montant reçu",), "total of credit": ("Total de l'avoir",),
    },
}  # fmt: skip
UNITS: dict[DocumentLanguage, dict[str, str]] = {
    "pt": {},
    "en": {"un": "pc", "cx": "case", "par": "pair", "mês": "month"},
    "es": {"un": "ud", "cx": "caja", "par": "par", "mês": "mes"},
    "fr": {"un": "pce", "cx": "caisse", "par": "paire", "mês": "mois"},
}
METHODS = ("Numerário", "Multibanco", "MB WAY", "Cartão de crédito", "Cartão de débito")  # at a till
METHODS_ON_ACCOUNT: dict[DocumentLanguage, tuple[str, ...]] = {
    "pt": ("Transferência bancária", "Multibanco", "Cheque", "Débito direto"),
    "en": ("Bank transfer", "Credit card", "SEPA direct debit"),
    "es": ("Transferencia bancaria", "Tarjeta de crédito", "Domiciliación SEPA"),
    "fr": ("Virement bancaire", "Carte de crédit", "Prélèvement SEPA"),
}
REASONS: dict[DocumentLanguage, tuple[str, ...]] = {
    "pt": ("Devolução de mercadoria", "Erro no preço", "Artigo com defeito", "Anulação do serviço"),
    "en": ("Goods returned", "Price error", "Damaged goods"),
    "es": ("Devolución de mercancía", "Error en el precio", "Mercancía dañada"),
    "fr": ("Retour de marchandise", "Erreur de prix", "Marchandise endommagée"),
}
CONSUMER = "Consumidor final"
MONTHS: dict[DocumentLanguage, tuple[str, ...]] = {
    "pt": ("janeiro", "fevereiro", "março", "abril", "maio", "junho", "julho", "agosto", "setembro", "outubro",
           "novembro", "dezembro"),
    "en": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December"),
    "es": ("enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre",
           "noviembre", "diciembre"),
    "fr": ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre",
           "décembre"),
}  # fmt: skip
DATES: dict[DocumentLanguage, tuple[str, ...]] = {
    "pt": ("{year}-{month:02}-{day:02}", "{day:02}/{month:02}/{year}", "{day:02}-{month:02}-{year}",
           "{day:02}.{month:02}.{year}", "{day} de {name} de {year}"),
    "en": ("{day} {name} {year}", "{name} {day}, {year}", "{year}-{month:02}-{day:02}", "{day:02}/{month:02}/{year}"),
    "es": ("{day:02}/{month:02}/{year}", "{day} de {name} de {year}", "{day:02}-{month:02}-{year}"),
    "fr": ("{day:02}/{month:02}/{year}", "{day} {name} {year}"),
}  # fmt: skip
# How amounts are written: the sign between thousands, the decimal sign, and where the currency stands.
MONEY: dict[DocumentLanguage, tuple[tuple[str, str, str], ...]] = {
    "pt": ((" ", ",", "{} €"), (" ", ",", "{} €"), (".", ",", "{} €"), (".", ",", "{} EUR"), (" ", ",", "€ {}")),
    "en": ((",", ".", "€{}"), (",", ".", "EUR {}"), (",", ".", "{} EUR")),
    "es": ((".", ",", "{} €"), (".", ",", "{} EUR")),
    "fr": ((" ", ",", "{} €"), (" ", ",", "{} EUR")),
}


def money(cents: int, style: tuple[str, str, str] = MONEY["pt"][0]) -> str:
    """Write an amount.

    >>> money(123456789), money(-5, (",", ".", "€{}"))
    ('1 234 567,89 €', '-€0.05')
    """
    group, point, frame = style
    whole = f"{abs(cents) // 100:,}".replace(",", group)
    written = frame.format(f"{whole}{point}{abs(cents) % 100:02}")
    return f"-{written}" if cents < 0 else written
