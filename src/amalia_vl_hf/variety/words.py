"""Words that one variety of Portuguese uses and the other does not, in lower case; `stem*` is all that starts so.

Words that both countries use, with another meaning in each, are left out, but for a few that nearly always mean one
thing (`tela`, `camisola`); so are words that only the spelling of before 1990 tells apart: nothing that Portugal ever
wrote so is in the Brazilian list.
"""

BRAZILIAN_WORDS = """
acessa* acesse acessei acessem acessou aeromoça* aluguel aluguéis amsterdã anistia* aplicativo aplicativos
aposentadoria* aterriss* açougue* bagdá banheiro banheiros bebê bebês berinjela* bilhão bilhões bonde bondes
cachorro cachorros cadastr* cadê caminhonete* caminhão caminhões camiseta camisetas cardápio* carona caronas
caçamba* celular celulares chiclete* cingapura comumente conosco contato contatos copenhague cotidian* câmera
câmeras câncer cânceres decolag* decolar decolou delegacia* deletad* deletar deletou desenvolvedor* dezenove
dezesseis dezessete elétron elétrons encanador* equipe equipes escanteio* esporte esportes esportiv* fazendeir*
fone fones garota garotas garoto garotos garçom garçonete* garçons geladeira* gerenci* gol goleir* gols gramado
gramados grampeador* guidom guidão indeniz* irã isopor jaqueta jaquetas lanchonete* madri maiô maiôs mamadeira*
maquiad* maquiagem marrom marrons metrô metrôs moleque* monitoramento* moscou mouse mouses nêutron* patinete
patinetes pebolim pedestre pedestres planej* planilha* polonesa* polonês pra pras prefeitura* próton prótons
quadrinhos quatorze registr* rodovia* roteador* roterdã seção seções sobrenome* sorvete* suco sucos suéter*
teerã torcedor* treinamento* trem trens trilhão trilhões umedec* umidade usuári* vietnã xampu*
xícara* zagueir* ônibus úmid*
"""

BRAZILIAN_PHRASES = """
café da manhã
o fato de (?:que|os?|as?|ser|estar|ter|haver)
oriente médio
papai noel
(?<!sobre )telas?
"""

EUROPEAN_WORDS = """
aced* agrafador* agrafo* alcatifa* aluguer* amesterdão amnisti* aterrag* auscultador* autocarro* autoclismo*
bagdade bebé bebés beringela* berma bermas betão biberão biberões bilião biliões boleia* camioneta* camisola*
camião camiões cancro* champô* chávena* cimeira cimeiras comboio comboios comummente concelho concelhos connosco
contactad* contactar contacte contacto contactos controlo controlos copenhaga desport* dezanove dezasseis
dezassete ecrã ecrãs eletrão eletrões encript* equipa equipas facto factos fiambre* ficheiro* frigorífico* golo
golos gronelândia guarda-redes guiador* humedec* humidade húmid* indemniz* loiça loiças maquilh* miúd*
monitoriz* montra montras moscovo multibanco neutrão neutrões nomeadamente palavra-passe palavras-passe
passadeira* pequeno-almoço pequenos-almoços peões peúga* planea* polac* portagem portagens predefini* protão
protões quotidian* rapariga* rebuçado* registad* registam registando registar* registe registo registos registou
relva relvado* roterdão rotunda* sandes sanita sanitas secção secções t-shirt t-shirts talho talhos teerão
telemóve* travão travões trotinet* utilizador* vietname
"""

EUROPEAN_PHRASES = """
banda desenhada
casas? de banho
fatos? de (?:banho|treino)
folhas? de cálculo
mil milhões
médio oriente
pai natal
por defeito
se calhar
sumos? de
"""

# Consonants that Brazil stopped writing in 1943 and Portugal after 1990. Words that Brazil still writes so (recepção,
# aspecto, respectivo...) are not here, nor are words that are English as well (actual, director, sector...).
OLD_EUROPEAN_SPELLING = """
accion* activad* activar* activo activos actuais actualiz* actualmente acção acções adopt* adopç* afect*
arquitecto* arquitectura* baptismo baptiz* colectiv* colecç* correcta* correcto* correcç* directa directamente
directas directo directos direcç* egipto electricidade electrónic* eléctric* exacta* exacto* excepto excepç*
fracç* inspecç* lectiv* nocturn* objectiv* objecto objectos projectar projecto projectos projecç* protecç*
reacç* redacç* seleccion* selecç* tecto tectos tractor* transacç* óptim*
"""
