"""Words that one variety of Portuguese uses and the other does not, in lower case; `stem*` is all that starts so.

The two lists of a variety differ in how sure they are. The first has words that the other country does not write. The
second has words that it does write, but less often or with another meaning (`celular` of biology, `arquivo` of papers,
`suco` of the stomach): they count for less, and alone are no sign of Brazil. Words that only the spelling of
before 1990 tells apart are in neither: nothing that Portugal ever wrote so is in a Brazilian list. Nearly equal
spellings (registro and registo) are in `lexicon.tsv`, which `lexicon` mines.
"""

BRAZILIAN_WORDS = """
abscissa abscissas acessa acessada acessadas acessado acessados acessam acessando acessar acessaram acesse acessei
acessem acessou acostamento* aeromoça* aluguel aluguéis amsterdã anistia* aplicativo aplicativos aposentadoria*
aprendizado aprendizados aquarela* aterriss* açougue* babaca* bagdá banheiro banheiros basquete bebê bebês beisebol
berinjela* besteira* bilheteria* bilhão bilhões blecaute* béquer béqueres cadarço* cadastrad* cadastramento* cadastrar
cadê caminhoneir* caminhonete* caminhão caminhões camundongo* canadense* cardápio* carona caronas caçamba* caçula*
centroavante* checado checados checagem checando checar checou chope chopes cingapura cochil* comumente conosco
conscientiz* contata* contate contatei contato contatos contêiner contêineres cotidian* criptografad* criptografar
criptografe cromossomo* cátion cátions câmera câmeras câncer cânceres decodific* decolag* decolar decolou delegacia*
deletad* deletar deletou desabilit* descriptograf* desenvolvedor* deslanch* desmatament* detenta detentas detento
detentos dezenove dezesseis dezessete dublad* dublag* dublar elétron elétrons embaixo encanador* encrenc* equipe
equipes escalação escalações escane* escanteio* escorregador* esporte esportes esportiv* estadunidense* estande
estandes estelionat* estoque* estressa* estresse* faturamento* faxina* faxineir* fofoca* freezer* fóton fótons
gangorra* garçom garçonete* garçons geladeira* gerenci* gerenciador* gibi gibis goleir* gols grampeador* groenlând*
guidom handebol hidrelétric* holerite* inadimplente* inadimplênci* indeniz* infarto* irã islã isopor israelense*
iugosl* jaqueta jaquetas lanchonete* lavanderia* liquidificador liquidificadores lisossomo* listra listrad* listras
locadora* loteria* maconha madri maiô maiôs mamadeira* mamãe maquiad* maquiagem marrom marrons meia-calça metrô metrôs
moleque* moletom monitorada monitoradas monitorado monitorados monitorament* monitorar moscou neném nenê nêutron
nêutrons onipoten* onipresen* onisci* onívor* otan palestino palestinos papai paquer* parabeniz* patinação patinete
patinetes pebolim pedestre pedestres pedágio* pegadinha* pernilongo* picolé picolés pirulito* placar placares planej*
planilha* polonesa* polonês porcentage* porcentua* porta-malas próton prótons quatorze quitinete* registr* ribossomo*
rodovia* rolagem roteador* roteirista* roterdã seção seções sinuca sorvete* sorveteria* subseção subseções surfe sutil
sutileza* sutilmente sutis súdito* tcheca tchecas tcheco tchecos teerã terceiriz* torcedor* torcida torcidas
treinamento* trilhão trilhões umedec* umidade usuári* varejist* varejo vietnã vovô vôlei xampu* xingamento* xingando
xingar xingou xícara* zagueir* ânion ânions íon íons ônibus úmid*
"""

BRAZILIAN_PHRASES = r"""
o times?
os times?
do times?
dos times?
no times?
nos times?
ao times?
aos times?
um times?
seu times?
pelo times?
assinale a alternativa
banco de dados
café da manhã
carteira assinada
carteira de (?:motorista|trabalho)
crosta terrestre
de fato(?! (?:e gravata|completo|escuro|preto|azul|cinzento|novo))
ensino (?:médio|fundamental)
finais de semana
final de semana
nova york
o fato de (?:que|os?|as?|ser|estar|ter|haver)
oriente médio
papai noel
sistemas? operaciona(?:l|is)
sucos? de (?:laranja|uva|frutas?|limão|abacaxi|tomate|maçã|manga|maracujá)
todo mundo
tre(?:m|ns)\b(?! de (?:aterragem|cozinha))
trilhas? sonoras?
vaso sanitário
"""

OFTEN_BRAZILIAN = """
aba abacaxi* abas aceitos aids alíquota* aposentado* apostila* aprimor* arquivo arquivos artilheir* bacana bagunça
bandeja bandejas bobagem bobagens boleto boletos bonde bondes cachoeira* cachorro cachorros cadastro cadastros
calcinha* camiseta camisetas caractere celular celulares chiclete* cinza compartilh* conexão conexões console cueca
customiz* cê delegado delegados dentre digitad* digitando digitar digitação digite digitou diretoria* déficit* embas*
engaj* enxerg* escopo esquentando esquentar esquentou estaduais estadual exclua exiba exibe exibem exibir fazenda
fazendas filhote* fone fones garota garotas garoto garotos gerente gerentes gol gramado gramados habilitar habilite
ingressos liberad* liberar libere logradouro* lousa* machuc* mesclad* mesclar mouse mouses moça moças mídia mídias né
oi paletó* pega pegar pego pegou percentual pesquisador* policiais policial pouso pra pras prefeit* presídio* pro pros
quadrinhos ranking reportagem revisar revise rodada rodadas ruim ruins sacada* salva salvando salvar salve sanduíche*
sediad* sediar sediou senha senhas sobrenome* somente status suco sucos superávit* suéter* tela telas terremoto* trecho
trechos turnê tá tô usina usinas vestibular zelador*
"""

OFTEN_BRAZILIAN_PHRASES = r"""
na época
a gente (?:vai|tem|está|pode|precisa|quer|faz|sabe|não|se|já|só)
ano que vem
ao invés d[aeo]s?
ao redor
como um todo
daqui a pouco
dar uma olhada
em andamento
em torno d[aeo]s?
lev\w+ em (?:conta|consideração)
mês que vem
pela manhã
plano de saúde
por conta d[aeo]s?
por meio d[aeo]s?
semana que vem
sendo que
um monte de
à época
é correto (?:afirmar|o que se afirma)
"""

EUROPEAN_WORDS = """
abcissa abcissas aced* adn agrafador* agrafo* aguarela* alcatifa* aldrab* aluguer* amesterdão amnisti* andebol anião
aniões antevisão antevisões apeadeir* aquando arguid* argumentista* arn arrendamento* arrendatári* aspeto aspetos
assoalhada* aterrag* auscultador* autarca autarcas autocarro* autoclismo* azoto bagdade basebol bebé bebés beringela*
berma bermas betão biberão biberões bilheteira* bilião biliões bocadinho bocadinhos boleia* bué cabeleireir* cacifo
cacifos camioneta* camionista* camisola* camião camiões canadian* canalizador* cancro* candeeiro* carateriz*
caraterístic* carrinha* catião catiões champô* chávena* cimeira cimeiras claque claques coima coimas comboio comboios
comummente concelhi* concelho concelhos concetua* conceç* connosco consciencializ* contactad* contactar contacte
contacto contactos contra-ordenaç* contracetiv* contraceç* contraordenaç* controlo controlos copenhaga cortinado*
cromossoma cromossomas crusta cêntimo* dececion* deceç* desenrasc* desfloresta* deslocação deslocações despedimento*
desport* deteta detetad* detetam detetar detete detetor* detetou deteç* dezanove dezasseis dezassete dobragem dobragens
défice défices ecoponto* ecrã ecrãs edredão edredões eletrão eletrões encript* enfarte* equipa equipas esfregona*
esparguete espetador* espetro espetros esquentador* estendal expetativa* facto factos faturaç* fiambre* ficheiro*
fim-de-semana fins-de-semana fita-cola fixe fixes fotão fotões freguesia* frigorífico* fulcra* gabardin* gajo gajos
gasolineira* gasóleo* gluão gluões gobelé* golo golos gronelândia guarda-redes guiador* guionista* guião guiões hadrão
hadrões hidroelétric* hiperligaç* humedec* humidade húmid* indemniz* infetad* infetar infeç* intercet* islão ião iões
jugosl* lavandaria* lisossoma lisossomas loiça loiças lotaria* maquilh* miúd* monitoriz* montra montras moscovo
multibanco neutrão neutrões nomeadamente omnipoten* omnipresen* omnívor* palavra-passe palavras-passe palestinian* papá
paragem paragens passadeira* patinagem penalti penaltis penálti penáltis pequeno-almoço pequenos-almoços percentage*
percetiv* percetív* perceç* perspetiv* peões peúga* planea* polac* pormenor* porreir* porta-bagagens portagem portagens
premida premido premir prospet* protão protões quotidian* rapariga* rastreio* realojament* rebuçado* rececion* recetiv*
recetor* receç* reencaminh* registad* registam registando registar* registe registo registos registou relva relvado*
respetiv* retalhist* retrete* retrospetiv* ribossoma ribossomas roterdão rotunda* rutura ruturas rés-do-chão sandes
sanita sanitas sapatilha* secção secções sedead* singapura subtil* subtis súbdit* t-shirt t-shirts talho talhos teerão
tejadilho* telemóve* telespetador* terramoto* travagem travagens travão travões tretas trotinet* utente utentes
utilizador* vietname vih
"""

EUROPEAN_PHRASES = """
a sério
até (?:ao|aos|à|às)
banda desenhada
banda sonora
bilhete de identidade
caixotes? do lixo
cart(?:ão|ões) (?:de|do) cidadão
carta de condução
casas? de banho
cor de laranja
crusta terrestre
de certeza
de seguida
deitar fora
ensino (?:básico|secundário)
fatos? de (?:banho|treino)
folhas? de cálculo
grande penalidade
mil milhões
médio oriente
no que (?:respeita|toca) a[os]?
pai natal
parques? de estacionamento
polícia judiciária
por defeito
por forma a
se calhar
se faz favor
segurança social
sumos? de
à volta d[aeo]s?
"""

OFTEN_EUROPEAN = """
adepto adeptos alcunh* apanha apanhado apanhar apanhou aperceb* apetece apetecer apetecia arranj* autarquia autarquias
autoestrada* avari* balneário* basquetebol bilhete bilhetes bocado calças castanha castanhas castanho castanhos
chatead* checa checo checos cinzent* conduzir cuecas definições deitar deitou demasiad* descarreg* designadamente
despach* ementa ementas encerrament* esferográfica* esplanada* esquadra esquadras gelado gelados gere gerir gira giras
giro giros grelha grelhas imensa imensas imenso imensos inquérito* investigador* israelita* jornada liceu liceus
ligação ligações localidade localidades lume malta morada moradas nevoeiro ordenado ordenados parva parvo pastelaria
pastelarias perceber percebeu percebi plantel predefini* prenda prendas pré-visualiz* recolha recolhas reformado
reformados relativamente repor separador separadores sida sismo sismos sobretudo sondag* stand stands stress sítio
sítios treta utiliza utilizada utilizado utilizar utilização utilize
"""

# Consonants that Brazil stopped writing in 1943 and Portugal after 1990. Words that Brazil still writes so (recepção,
# aspecto, respectivo...) are not here, nor are words that are English as well (actual, director, sector...).
OFTEN_EUROPEAN_PHRASES = """
a maior parte d[aeo]s?
altura em que
ao pé d[aeo]s?
de resto
desde logo
face a[os]?
há cerca de
junto d[aeo]s?
na altura
neste momento
quer dizer
relativamente a[os]?
tendo em conta
ter em conta
"""

OLD_EUROPEAN_SPELLING = """
accion* activad* activar* activo activos actuais actualiz* actualmente acção acções adopt* adopç* afect*
arquitecto* arquitectura* baptismo baptiz* colectiv* colecç* correcta* correcto* correcç* directa directamente
directas directo directos direcç* egipto electricidade electrónic* eléctric* exacta* exacto* excepto excepç*
fracç* inspecç* lectiv* nocturn* objectiv* objecto objectos projectar projecto projectos projecç* protecç*
reacç* redacç* seleccion* selecç* tecto tectos tractor* transacç* óptim*
"""

# Countries and cities whose names differ by ê or ô; a person's name with them is written so in Portugal, too.
BRAZILIAN_COUNTRIES = """
Amazônia Armênia Babilônia Caledônia Eslovênia Estônia Iêmen Letônia Macedônia Mônaco Patagônia Polônia Quênia Romênia
Saxônia Vênus
"""
