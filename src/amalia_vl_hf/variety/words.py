"""Words that one variety of Portuguese uses and the other does not, in lower case; `stem*` is all that starts so.

The two lists of a variety differ in how sure they are. The first has words that the other country does not write. The
second has words that it does write, but less often or with another meaning (`celular` of biology, `arquivo` of papers,
`suco` of the stomach): they count for less, and no text is refused for them alone. Words that only the spelling of
before 1990 tells apart are in neither: nothing that Portugal ever wrote so is in a Brazilian list. Nearly equal
spellings (registro and registo) are in `lexicon.tsv`, which `lexicon` mines.
"""

BRAZILIAN_WORDS = """
abscissa abscissas acessa acessada acessadas acessado acessados acessam acessando acessar acessaram acesse acessei
acessem acessou acostamento* aeromoça* aluguel aluguéis amsterdã anistia* aplicativo aplicativos aposentadoria*
aprendizado aprendizados aquarela* aterriss* açougue* bagdá banheiro banheiros basquete bebê bebês berinjela*
bilheteria* bilhão bilhões cadarço* cadastr* cadê caminhoneir* caminhonete* caminhão caminhões camundongo* canadense*
cardápio* carona caronas caçamba* checado checados checagem checando checar checou chope chopes cingapura cochil*
comumente conosco contata* contate contatei contato contatos cotidian* câmera câmeras câncer cânceres decolag* decolar
decolou delegacia* deletad* deletar deletou desenvolvedor* desmatament* dezenove dezesseis dezessete elétron elétrons
embaixo encanador* equipe equipes escane* escanteio* escorregador* esporte esportes esportiv* estadunidense* estoque*
faxina* faxineir* freezer* gangorra* garçom garçonete* garçons geladeira* gerenci* gibi gibis goleir* gols grampeador*
groenlând* guidom hidrelétric* holerite* indeniz* irã islã isopor israelense* iugosl* jaqueta jaquetas lanchonete*
lavanderia* liquidificador liquidificadores listra listrad* listras locadora* loteria* madri maiô maiôs mamadeira*
mamãe maquiad* maquiagem marrom marrons metrô metrôs moletom monitorada monitoradas monitorado monitorados
monitorament* monitorar moscou neném nenê nêutron nêutrons palestino palestinos papai patinete patinetes pebolim
pedestre pedestres pedágio* pernilongo* picolé picolés placar placares planej* planilha* polonesa* polonês porcentage*
porcentua* porta-malas próton prótons quatorze registr* rodovia* roteador* roterdã seção seções sorvete* subseção
subseções tcheca tchecas tcheco tchecos teerã terceiriz* torcedor* treinamento* trilhão trilhões umedec* umidade
usuári* vietnã vovô vôlei xampu* xícara* zagueir* ônibus úmid*
"""

BRAZILIAN_PHRASES = r"""
assinale a alternativa
banco de dados
café da manhã
carteira de (?:motorista|trabalho)
de fato(?! (?:e gravata|completo|escuro|preto|azul|cinzento|novo))
ensino (?:médio|fundamental)
nova york
o fato de (?:que|os?|as?|ser|estar|ter|haver)
oriente médio
papai noel
(?:o|os|do|dos|no|nos|ao|aos|um|seu|pelo) times?
sucos? de (?:laranja|uva|frutas?|limão|abacaxi|tomate|maçã|manga|maracujá)
todo mundo
tre(?:m|ns)\b(?! de (?:aterragem|cozinha))
"""

OFTEN_BRAZILIAN = """
aprimor* arquivo arquivos bacana bagunça bandeja bandejas bonde bondes cachoeira* cachorro cachorros camiseta camisetas
celular celulares chiclete* cinza compartilh* conexão conexões dentre digitad* digitar digite digitou enxerg* exibe
exibem exibir fone fones garota garotas garoto garotos gol gramado gramados ingressos machuc* mouse mouses moça moças
né percentual pesquisador* policiais policial pra pras prefeit* pro pros quadrinhos ruim ruins salva salvar salve senha
senhas sobrenome* somente status suco sucos suéter* tela telas terremoto* torcida torcidas usina usinas vestibular
"""

EUROPEAN_WORDS = """
abcissa abcissas aced* adn agrafador* agrafo* aguarela* alcatifa* aluguer* amesterdão amnisti* andebol antevisão
antevisões aquando arrendamento* arrendatári* aspeto aspetos assoalhada* aterrag* auscultador* autarca autarcas
autocarro* autoclismo* bagdade bebé bebés beringela* berma bermas betão biberão biberões bilheteira* bilião biliões
boleia* bué cabeleireir* camioneta* camionista* camisola* camião camiões canadian* canalizador* cancro* candeeiro*
carateriz* caraterístic* carrinha* champô* chávena* cimeira cimeiras claque claques comboio comboios comummente
concelhi* concelho concelhos concetua* conceç* connosco contactad* contactar contacte contacto contactos contracetiv*
contraceç* controlo controlos copenhaga cortinado* cêntimo* dececion* deceç* desfloresta* despedimento* desport* deteta
detetad* detetam detetar detete detetor* detetou deteç* dezanove dezasseis dezassete ecoponto* ecrã ecrãs edredão
edredões eletrão eletrões encript* equipa equipas esfregona* esparguete espetador* espetro espetros esquentador*
estendal expetativa* facto factos fiambre* ficheiro* fita-cola freguesia* frigorífico* fulcra* gabardin* gajo gajos
gasolineira* gasóleo* golo golos gronelândia guarda-redes guiador* hidroelétric* hiperligaç* humedec* humidade húmid*
indemniz* infetad* infetar infeç* intercet* islão jugosl* lavandaria* loiça loiças lotaria* maquilh* miúd* monitoriz*
montra montras moscovo multibanco neutrão neutrões nomeadamente omnipoten* omnipresen* omnívor* palavra-passe
palavras-passe palestinian* papá paragem paragens passadeira* pequeno-almoço pequenos-almoços percentage* percetiv*
percetív* perceç* perspetiv* peões peúga* planea* polac* pormenor* porreir* porta-bagagens portagem portagens
predefini* premida premido premir prospet* protão protões pré-visualiz* quotidian* rapariga* rastreio* rebuçado*
rececion* recetiv* recetor* receç* reencaminh* registad* registam registando registar* registe registo registos
registou relva relvado* respetiv* retrospetiv* roterdão rotunda* rutura ruturas rés-do-chão sandes sanita sanitas
sapatilha* secção secções singapura subtil* subtis súbdit* t-shirt t-shirts talho talhos teerão tejadilho* telemóve*
telespetador* terramoto* travagem travagens travão travões trotinet* utente utentes utilizador* vietname
"""

EUROPEAN_PHRASES = """
a sério
até (?:ao|aos|à|às)
banda desenhada
bilhete de identidade
caixotes? do lixo
carta de condução
cart(?:ão|ões) (?:de|do) cidadão
casas? de banho
cor de laranja
de certeza
ensino (?:básico|secundário)
fatos? de (?:banho|treino)
folhas? de cálculo
mil milhões
médio oriente
pai natal
por defeito
se calhar
se faz favor
segurança social
sumos? de
"""

OFTEN_EUROPEAN = """
adepto adeptos autoestrada* basquetebol calças castanha castanhas castanho castanhos checa checo checos cinzent*
definições demasiad* descarreg* designadamente ementa ementas esplanada* gelado gelados gere gerir grelha grelhas
investigador* israelita* ligação ligações malta nevoeiro parva parvo plantel relativamente repor separador separadores
sismo sismos sítio sítios utiliza utilizada utilizado utilizar utilização utilize
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
